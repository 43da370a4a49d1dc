"""Scene parsing: which class each pixel of a grey photograph is of, one file a network."""
