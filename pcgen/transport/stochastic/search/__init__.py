"""Search for the cells of samples among very many atoms, and multiscale initialisation."""
