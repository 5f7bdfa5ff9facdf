"""Images, grids and transforms in physical space."""
