"""Maps built from a potential: extended, soft and hard; stratified draws; plots of 2D cells."""
