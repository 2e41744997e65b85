"""Flags of the original's programs with their defaults: common.py, train.py, eval.py, vis.py, export_model.py.

`DIFFERENT` and the README list the flags that this project refuses, and the defaults that differ on purpose.
"""

_PASSES = {"eval_scales": (1.0,), "add_flipped_images": False}
_INPUT = {"dataset": "pascal_voc_seg", "dataset_dir": None}
COMMON = {
    "min_resize_value": None,
    "max_resize_value": None,
    "resize_factor": None,
    "keep_aspect_ratio": True,
    "logits_kernel_size": 1,
    "model_variant": "mobilenet_v2",
    "image_pyramid": None,
    "add_image_level_feature": True,
    "image_pooling_crop_size": None,
    "image_pooling_stride": (1, 1),
    "aspp_with_batch_norm": True,
    "aspp_with_separable_conv": True,
    "multi_grid": None,
    "depth_multiplier": 1.0,
    "divisible_by": None,
    "decoder_output_stride": None,
    "decoder_use_separable_conv": True,
    "merge_method": "max",
    "prediction_with_upsampled_logits": True,
    "dense_prediction_cell_json": None,
    "nas_stem_output_num_conv_filters": 20,
    "nas_use_classification_head": False,
    "nas_remove_os32_stride": False,
    "use_bounded_activation": False,
    "aspp_with_concat_projection": True,
    "aspp_with_squeeze_and_excitation": False,
    "aspp_convs_filters": 256,
    "decoder_use_sum_merge": False,
    "decoder_filters": 256,
    "decoder_output_is_logits": False,
    "image_se_uses_qsigmoid": False,
    "label_weights": 1.0,
    "batch_norm_decay": 0.9997,
    "atrous_rates": None,
    "quantize_delay_step": -1,
}
OWN = {  # of each program
    "train": {
        **dict.fromkeys(("num_clones", "clone_on_cpu", "num_replicas", "startup_delay_steps", "num_ps_tasks")),
        **dict.fromkeys(("master", "task", "profile_logdir", "tf_initial_checkpoint")),
        **_INPUT,
        **dict.fromkeys(("train_logdir", "dataset_dir"), ""),  # None there; neither means anything
        "output_stride": 16,
        "log_steps": 10,
        "save_interval_secs": 1200,
        "save_summaries_secs": 600,
        "save_summaries_images": False,
        "optimizer": "momentum",
        "learning_policy": "poly",
        "base_learning_rate": 1e-4,
        "decay_steps": 0.0,
        "end_learning_rate": 0.0,
        "learning_rate_decay_factor": 0.1,
        "learning_rate_decay_step": 2000,
        "learning_power": 0.9,
        "training_number_of_steps": 30000,
        "momentum": 0.9,
        "adam_learning_rate": 0.001,
        "adam_epsilon": 1e-8,
        "train_batch_size": 8,
        "weight_decay": 4e-5,
        "train_crop_size": (513, 513),
        "last_layer_gradient_multiplier": 1.0,
        "upsample_logits": True,
        "drop_path_keep_prob": 1.0,
        "initialize_last_layer": True,
        "last_layers_contain_logits_only": False,
        "slow_start_step": 0,
        "slow_start_learning_rate": 1e-4,
        "fine_tune_batch_norm": True,
        "min_scale_factor": 0.5,
        "max_scale_factor": 2.0,
        "scale_factor_step_size": 0.25,
        "hard_example_mining_step": 0,
        "top_k_percent_pixels": 1.0,
        "train_split": "train",
    },
    "eval": {
        **dict.fromkeys(("master", "eval_logdir", "checkpoint_dir")),
        **_INPUT,
        **_PASSES,
        "output_stride": 16,
        "eval_batch_size": 1,
        "eval_crop_size": (513, 513),
        "eval_interval_secs": 300,
        "eval_split": "val",
        "max_number_of_evaluations": 0,
    },
    "vis": {
        **dict.fromkeys(("master", "vis_logdir", "checkpoint_dir")),
        **_INPUT,
        **_PASSES,
        "output_stride": 16,
        "vis_batch_size": 1,
        "vis_crop_size": (513, 513),
        "eval_interval_secs": 300,
        "vis_split": "val",
        "colormap_type": "pascal",
        "also_save_raw_predictions": False,
        "max_number_of_iterations": 0,
    },
    "export": {
        **dict.fromkeys(("checkpoint_path", "export_path")),
        "output_stride": 8,
        "num_classes": 21,
        "crop_size": (513, 513),
        "inference_scales": (1.0,),
        "add_flipped_images": False,
        "save_inference_graph": False,
    },
}
DIFFERENT = {  # flag: what it is here when it is not given, and why
    "dataset": None,  # dataset.json of the folder says it, else the original's default
    "label_weights": None,  # 1 for each class
    "save_summaries_images": True,  # pictures in TensorBoard are what shows that labels fit images
    "eval_batch_size": None,  # 1; on a GPU what suits the size of the images
    "eval_crop_size": None,  # the smallest that holds the images
    "vis_crop_size": None,
    "crop_size": None,  # images of any size
    "colormap_type": None,  # the colours of dataset.json
}
REFUSED = {
    "train": {"num_clones", "clone_on_cpu", "num_replicas", "startup_delay_steps", "num_ps_tasks", "master", "task"},
    "eval": {"master"},
    "vis": {"master"},
    "export": {"save_inference_graph"},
}
REFUSED_EVERYWHERE = {"batch_norm_decay", "quantize_delay_step"}
