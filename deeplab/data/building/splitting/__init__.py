"""Divides pairs of image and label into splits: by lists, at random, in groups and folds; tells how alike these are."""
