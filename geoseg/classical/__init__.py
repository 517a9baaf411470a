"""Classical methods: what needs no training. Arrays in, arrays out; how scenes are read and kept stands in jobs."""
