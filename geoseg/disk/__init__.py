"""Files on disk: names, places, locks, and writing that is whole or not there."""
