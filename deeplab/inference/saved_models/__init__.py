"""SavedModels as TensorFlow's runtime gets them: loaded in little memory, and tried first if they are others'."""
