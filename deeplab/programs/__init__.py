"""What the commands do. Each door `python -m deeplab.X` imports one of these modules once its flags are read."""
