"""What comes from strangers (text, YAML, values), checked before anything is made of it."""
