"""The least that the model.json of an export says."""

CARD = {
    **{"config": {"model_variant": "mobilenet_v2", "output_stride": 8}, "classes": ["a"], "checkpoint": "model.ckpt-1"},
    **{"step": 1, "crop_size": None, "inference_scales": [1.0], "add_flipped_images": False, "resize": {}},
}
