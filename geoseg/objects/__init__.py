"""Objects told apart: from classes, centres and offsets to segments, tile by tile. Arrays in, arrays out."""
