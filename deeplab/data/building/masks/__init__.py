"""Label files that need more than a look at their values: colours that are not exact, instances, other sizes."""
