"""Back ends: packs of windows in, what every head says of every token out."""
