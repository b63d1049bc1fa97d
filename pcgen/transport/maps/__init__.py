"""Maps built from a potential: extended, soft and hard; stratified sampling; plots of 2D cells."""
