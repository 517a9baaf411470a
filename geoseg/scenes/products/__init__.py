"""Products of satellites as they are delivered: folders and archives with metadata; ``kinds`` is the table of them."""
