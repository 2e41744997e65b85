"""Labels as annotations that labelling tools open: shapes of one image, and one module for each format."""
