"""What python -m deeplab.benchmark measures: one module per thing."""
