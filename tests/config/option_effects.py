"""For every flag of every program, the test that shows what the flag changes, or that it is refused.

`test_option_table.py` checks that no flag is missing, and that the tests exist and name their flags. A new flag needs a
test in which another value gives another result; a flag that several programs share is shown once, in a group below.
"""

ARRIVE = "programs/test_flags_arrive.py::test_they_arrive"
REFUSED = "config/test_effects.py::test_an_option_without_effect_is_refused"
NETWORK = "config/test_effects.py::test_an_option_of_the_network_changes_it_or_is_refused"
OTHER_NETWORK = "config/test_effects.py::test_an_option_of_another_backbone_changes_it"
NONSENSE = "config/test_config_model.py::test_nonsense_is_refused_with_the_way_out"
NEVER_READ = "config/test_effects.py::test_the_flag_that_the_original_never_reads_is_refused"
PRESETS = "config/test_presets.py::test_entry_points_take_them_and_flags_go_before"
FOLDERS = "programs/test_train.py::test_a_training_leaves_what_the_other_programs_read"
RUN = "programs/test_train_flags.py::test_every_option_of_the_log_and_the_checkpoints_changes_what_is_left"
SET_UP = "programs/test_train_flags.py::test_devices_and_data_are_those_of_the_flags"
WEIGHTS = "programs/test_train_flags.py::test_initial_weights_are_loaded_as_the_flags_say"
EVALUATIONS = "programs/test_train_flags.py::test_evaluations_follow_the_flags"
BATCHES = "programs/test_train_flags.py::test_batches_follow_the_flags"
TPU = "programs/test_train_flags.py::test_a_tpu_is_looked_for_at_its_address_and_kernels_are_deterministic_on_request"
LARGEST = "data/channels/test_pixel_limit.py::test_one_limit_of_pixels_holds_in_all_programs"
BANDS = "data/channels/test_building_bands.py::test_the_flags_say_which_bands_and_values_are_stored"
AUGMENTATION = "data/test_data_pipeline.py::test_every_option_of_the_augmentation_changes_the_images"
OPTIMIZER = "training/test_training_step.py::test_every_option_of_the_optimizer_changes_what_a_step_changes"
SCHEDULE = "training/test_schedules.py::test_every_option_changes_the_rates"
PIXELS = "training/test_losses.py::test_losses_of_pixels_are_those_of_their_formulas"
REGIONS = "training/test_losses.py::test_losses_of_regions_are_those_of_their_formulas"
GOLDEN_LOSSES = "training/test_training_goldens.py::test_losses"
BAD_EVAL = "programs/test_eval.py::test_bad_input_is_one_line"
WATCHING = "programs/test_flags_arrive.py::test_a_watched_folder_is_looked_at_as_the_flags_say"
PANELS = "programs/test_vis.py::test_panels_and_ids_keep_the_file_names"
BAD_VIS = "programs/test_vis.py::test_bad_input_is_one_line"
ONCE = "config/test_effects.py::test_the_same_option_is_taken_where_it_has_an_effect"
PROBABILITIES = "programs/test_predict.py::test_probabilities_of_a_checkpoint_and_of_an_export"
FOLDED = "programs/test_export.py::test_weights_are_constants_unless_they_shall_be_variables"
SIGNATURES = "exporting/test_export_signatures.py::test_files_of_several_sizes_give_png_files"
FORMATS = "exporting/test_export_formats.py::test_it_runs_and_agrees"
SERVED = "serving/test_serve.py::test_nonsense_is_refused"
LISTENS = "serving/test_serve.py::test_it_listens_at_the_host_and_port_of_the_flags"
BATCHED = "serving/test_serve_batching.py::test_batches_keep_within_limits"
TOO_LONG = "serving/test_serve_stopping.py::test_the_time_limit_holds_inside_a_request"
HELPERS = "data/test_data_service.py::test_two_helpers_give_the_same_batches"
MEASURED = "benchmarks/test_benchmark.py::test_what_is_asked_for_is_measured"
COMPARED = "benchmarks/test_benchmark.py::test_results_are_written_and_compared"
FOLDER = "data/building/test_build_parts.py::test_every_option_of_build_folder_data_changes_what_is_built"
VOC = "data/building/test_build_datasets.py::test_voc"
CHECKED = "data/building/test_data_linter.py::test_the_flags_of_check_say_what_is_looked_at_and_where_the_sheet_goes"
ADE20K = "data/building/test_build_datasets.py::test_ade20k"
SHAPES = "programs/builders/test_shapes.py::test_every_option_changes_what_is_built"
BUILT_FROM = "programs/builders/test_annotated.py::test_{}"
ARRANGED = "programs/builders/test_arrangement.py::test_folder_says_all_the_flags"
ANNOTATED = "programs/test_predict_annotations.py"
DRAWN = "data/building/test_draw_shapes.py::test_folder_is_complete"


def _group(test, names):
    return dict.fromkeys(names.split(), test)


GPU = {
    "tf32": "test_devices.py::test_tf32_is_on_where_nothing_is_compared_and_as_before_afterwards",
    "gpu_memory_growth": "test_devices.py::test_memory_grows_on_request_before_a_device_is_used",
}


ARCHITECTURE = {
    **_group(
        NETWORK,
        "output_stride atrous_rates depth_multiplier divisible_by image_pyramid merge_method add_image_level_feature "
        "image_pooling_crop_size image_pooling_stride aspp_with_batch_norm aspp_with_separable_conv "
        "aspp_with_concat_projection aspp_with_squeeze_and_excitation aspp_convs_filters image_se_uses_qsigmoid "
        "decoder_output_stride decoder_use_separable_conv decoder_filters decoder_use_sum_merge "
        "decoder_output_is_logits logits_kernel_size use_bounded_activation",
    ),
    **_group(OTHER_NETWORK, "multi_grid nas_stem_output_num_conv_filters nas_remove_os32_stride"),
    **_group("model/test_model.py::test_model_parameters", "model_variant dense_prediction_cell_json"),
    **_group(NONSENSE, "nas_use_classification_head"),
    **_group(
        "inference/test_inference.py::test_labels_can_be_decided_before_upsampling", "prediction_with_upsampled_logits"
    ),
}
OF_TRAINING = {
    "drop_path_keep_prob": "layers/test_layers.py::test_drop_paths_of_a_network_hear_of_the_progress",
    "label_weights": GOLDEN_LOSSES,
    "fine_tune_batch_norm": "model/test_model.py::test_frozen_batch_norm_keeps_statistics_and_learns_gamma",
    "batch_norm_warmup": "model/test_model.py::test_moving_averages_settle_fast_unless_told_otherwise",
}
TAPS_OF_SPLITS = "programs/test_rates_and_crops.py::test_eval_warns_of_them_on_larger_images_or_sets_them_to_0"
RESTORED = {  # of every program that restores a network
    **ARCHITECTURE,
    **dict.fromkeys(OF_TRAINING, "config/test_effects.py::test_options_of_the_training_alone_are_refused_elsewhere"),
    **_group(NETWORK, "num_classes num_channels"),
    **_group(ARRIVE, "checkpoint_dir checkpoint use_moving_averages preset dataset"),
    "zero_untrained_taps": TAPS_OF_SPLITS,
}
TAPS_OF_FILES = "programs/test_rates_and_crops.py::test_export_and_predict_warn_since_images_may_have_any_size"
SEEN_AT = "inference/test_input_size.py::test_original_and_tiles_keep_the_size_and_unknown_sizes_are_said"
PASSES = _group(ARRIVE, "eval_scales add_flipped_images")
RESIZE = {**_group(ARRIVE, "min_resize_value max_resize_value resize_factor"), "keep_aspect_ratio": NEVER_READ}
TILES = "tile_size tile_overlap tile_shared_context"
TFDS = _group(
    "data/test_data_tfds.py::test_every_option_of_reading_changes_what_is_read",
    "label_offset ignore_label tfds_num_classes tfds_data_dir tfds_image tfds_label",
)
REBUILT = "data/building/test_build_parts.py::test_a_second_build_of_a_split_is_refused_unless_it_says_what_it_does"
BUILD = {
    **_group(FOLDER, "output_dir num_shards num_workers skip_bad"),
    "append": "data/building/test_build_parts.py::test_an_appended_split_equals_one_that_is_built_at_once",
    "overwrite": REBUILT,
    "dry_run": "data/building/test_build_dry_run.py::test_a_dry_run_says_what_a_build_would_write",
    "max_image_pixels": LARGEST,
}

OPTION_EFFECTS = {  # program: {flag: "file::test" below tests/}
    "train": {
        **GPU,
        **ARCHITECTURE,
        **OF_TRAINING,
        **RESIZE,
        **TFDS,
        **_group(FOLDERS, "train_logdir"),
        **_group(SET_UP, "dataset_dir dataset train_split distribution_strategy mixed_precision"),
        **_group(BATCHES, "train_batch_size train_crop_size random_seed"),
        **_group(
            WEIGHTS,
            "tf_initial_checkpoint backbone_weights initialize_last_layer last_layers_contain_logits_only",
        ),
        "use_moving_averages": "programs/test_initial_weights.py::test_moving_averages_are_taken_as_eval_takes_them",
        "map_classes_by_name": "programs/test_initial_weights.py::test_classes_in_another_order_are_refused_or_mapped",
        **_group(NETWORK, "num_channels"),
        "extra_channels": "programs/test_channels.py::test_extra_channels_start_as_the_flag_says",
        "restart_batch_norm_averages": "programs/test_rates_and_crops.py::test_averages_of_batch_norm_can_begin_anew",
        "recalibrate_batch_norm": "training/test_fine_tuning.py::test_loss_falls",
        "preset": PRESETS,
        **_group(
            AUGMENTATION,
            "min_resize_value max_resize_value resize_factor min_scale_factor max_scale_factor scale_factor_step_size "
            "flip_probability vertical_flip_probability quarter_turns color_jitter blur_sigma rotation_degrees",
        ),
        "cache": "data/test_data_pipeline.py::test_the_cache_changes_nothing",
        "data_service": "data/test_data_service.py::test_nobody_at_the_address",
        **_group(PIXELS, "top_k_percent_pixels loss focal_gamma label_smoothing"),
        **_group(GOLDEN_LOSSES, "upsample_logits hard_example_mining_step"),
        **_group(REGIONS, "region_loss region_loss_weight"),
        "class_weights": "training/test_losses.py::test_class_weights_come_from_a_file",
        **_group(
            OPTIMIZER,
            "optimizer momentum nesterov adam_learning_rate adam_epsilon weight_decay last_layer_gradient_multiplier "
            "gradient_clip_norm gradient_accumulation_steps moving_average_decay freeze_backbone_steps",
        ),
        **_group(
            SCHEDULE,
            "learning_policy base_learning_rate training_number_of_steps decay_steps end_learning_rate learning_power "
            "learning_rate_decay_factor learning_rate_decay_step learning_rate_boundaries learning_rate_values "
            "slow_start_step slow_start_learning_rate slow_start_burnin_type",
        ),
        **_group(TPU, "tpu deterministic"),
        "jit_compile": "training/test_compilation.py::test_auto_measures_only_where_there_is_a_choice",
        **_group(
            RUN,
            "log_steps save_interval_steps save_interval_secs keep_checkpoints save_summaries_secs "
            "save_summaries_images profile_logdir eval_interval_steps",
        ),
        **_group(EVALUATIONS, "eval_split eval_crop_size patience"),
        "tracker": "training/test_tracking.py::test_a_tracker_hears_what_metrics_jsonl_gets",
        "dry_run": "programs/test_dry_run.py::test_train_takes_a_few_steps_and_writes_nothing",
    },
    "eval": {
        **GPU,
        **RESTORED,
        **PASSES,
        **RESIZE,
        **_group("programs/test_eval.py::test_tiles_that_hold_the_images_score_the_same", TILES),
        **TFDS,
        **_group(BAD_EVAL, "dataset_dir eval_logdir"),
        **_group(ARRIVE, "eval_split eval_crop_size distribution_strategy"),
        "eval_batch_size": "programs/test_eval.py::test_scores_do_not_depend_on_the_batch_size",
        "saved_model": "programs/test_eval.py::test_an_export_scores_as_its_checkpoint",
        "compare": "programs/test_eval.py::test_several_are_compared_in_one_table_and_one_plot",
        **_group(WATCHING, "continuous eval_interval_secs eval_timeout_secs"),
        "max_number_of_evaluations": "programs/test_eval.py::test_watching_a_folder_ends_after_so_many_checkpoints",
        **_group("programs/test_eval.py::test_boundaries_tables_and_plots_on_request", "trimap_widths boundary_scores"),
        "dry_run": "programs/test_dry_run.py::test_eval_predicts_a_few_images_and_writes_nothing",
    },
    "vis": {
        **GPU,
        **RESTORED,
        **PASSES,
        **RESIZE,
        **TFDS,
        **_group(PANELS, "dataset_dir vis_batch_size vis_logdir max_images also_save_raw_predictions"),
        **_group(ARRIVE, "vis_split vis_crop_size"),
        **_group(ONCE, "max_number_of_iterations eval_interval_secs"),
        "colormap_type": "programs/test_vis.py::test_another_color_map_may_be_chosen",
        "class_ids": "programs/test_vis.py::test_servers_get_the_ids_and_colors_they_ask_for",
    },
    "predict": {
        **GPU,
        **RESTORED,
        **PASSES,
        **_group(ARRIVE, TILES),
        **_group(PROBABILITIES, "input output saved_model save_probabilities"),
        "crop_size": ARRIVE,
        "batch_size": "programs/test_predict.py::test_batches_give_the_labels_of_images_alone",
        "zero_untrained_taps": TAPS_OF_FILES,
        "input_size": SEEN_AT,
        "max_image_pixels": LARGEST,
        "save_frames": "programs/test_predict.py::test_videos_come_out_with_as_many_frames",
        "write": f"{ANNOTATED}::test_masks_come_back_from_every_format",
        "polygon_tolerance": f"{ANNOTATED}::test_another_tolerance_is_not_mixed",
        "class_ids": f"{ANNOTATED}::test_pngs_hold_the_ids_of_the_label_files_unless_class_ids_are_asked_for",
        "overwrite": "programs/test_predict.py::test_what_is_finished_is_skipped",
    },
    "export": {
        **GPU,
        **RESTORED,
        **_group("exporting/test_export_reference.py::test_it_is_the_originals_graph",
                 "min_resize_value max_resize_value resize_factor"),
        "keep_aspect_ratio": NEVER_READ,
        **_group(ARRIVE, "checkpoint_path crop_size inference_scales add_flipped_images"),
        "export_path": "programs/test_hardening.py::test_one_process_at_a_time_writes_to_a_folder",
        **_group(FORMATS, "format precision verify"),
        **_group(FOLDED, "fold_batch_norm constant_weights"),
        "quantize": "exporting/test_export_int8.py::test_all_but_the_logits_compute_in_int8",
        **_group("exporting/test_export_formats.py::test_images_of_a_data_set_come_from_the_split_that_is_named",
                 "dataset_dir split"),
        **_group(SIGNATURES, "with_probabilities with_logits with_colors"),
        "zero_untrained_taps": TAPS_OF_FILES,
        "input_size": "inference/test_input_size.py::test_every_format_holds_the_rule",
        "class_ids": "exporting/test_export_signatures.py::test_png_files_hold_the_ids_of_the_label_files",
        "dry_run": "programs/test_dry_run.py::test_export_says_what_it_would_write",
    },
    "serve": {
        **GPU,
        "saved_model": "serving/test_serve_export.py::test_sigterm_ends_the_server",
        "input_size": "inference/test_input_size.py::test_what_does_not_go_together_is_refused",
        "model_name": "serving/test_serve.py::test_status_and_metadata",
        **_group(LISTENS, "host port"),
        **_group(BATCHED, "max_batch_size"),
        "batch_timeout_ms": "serving/test_serve_batching.py::test_a_request_waits_for_others_as_long_as_it_is_told",
        "max_queue_size": "serving/test_serve_batching.py::test_a_full_queue_is_answered_503_at_once",
        "request_timeout_secs": TOO_LONG,
        "read_timeout_secs": "serving/test_serve.py::test_slow_senders_are_cut_off",
        "idle_timeout_secs": "serving/test_serve_protocol.py::test_idle_connections_are_closed_after_their_own_time",
        "stop_timeout_secs": "serving/test_serve_stopping.py::test_sigterm_ends_the_process_in_time_whatever_computes",
        "max_images": "serving/test_serve_stopping.py::test_a_request_has_so_many_images_and_not_more",
        **_group(SERVED, "max_request_bytes max_pixels"),
        "max_image_pixels": LARGEST,
        "memory_budget_bytes": "serving/test_serve.py::test_a_request_that_takes_too_much_memory_is_told_how_much",
        "page_pixels": "serving/test_serve.py::test_the_page_segments_a_picture",
        "poll_secs": "serving/test_serve.py::test_a_new_version_replaces_the_old_one",
        "auth_token_file": "serving/test_access.py::test_each_token_of_the_file_is_taken",
        "allowed_hosts": "serving/test_access.py::test_a_name_that_a_flag_gives_is_the_servers",
        "cors_origins": "serving/test_access.py::test_a_site_that_a_flag_names_may_ask",
        **_group("serving/test_tls.py::test_https_by_a_certificate_of_ones_own", "tls_certificate tls_key"),
        "access_log": "serving/test_request_log.py::test_the_log_is_written_by_a_flag",
    },
    "data_service": _group(HELPERS, "port host"),
    "models": {"download": "programs/test_models.py::test_a_download_tells_licence_and_training_data"},
    "benchmark": {
        **GPU,
        **_group(
            MEASURED,
            "cost input export training scaling startup checkpoint_dir networks size runs precisions devices "
            "jit_compile profile_logdir quick programs dataset_dir eval_split images",
        ),
        **_group(COMPARED, "json compare"),
    },
    "voc2012": {
        **BUILD,
        **_group(VOC, "image_folder semantic_segmentation_folder list_folder augmented_folder"),
        "image_format": "data/building/test_build_parts.py::test_images_of_voc_have_the_extension_that_is_asked_for",
    },
    "cityscapes": {
        **BUILD,
        "cityscapes_root": "data/building/test_build_datasets.py::test_cityscapes_ids_become_train_ids",
    },
    "ade20k": {
        **BUILD,
        **_group(
            ADE20K,
            "train_image_folder train_image_label_folder val_image_folder val_image_label_folder num_shards seed",
        ),
    },
    "camvid": {**BUILD, "camvid_root": "data/building/test_build_datasets.py::test_all_of_camvid"},
    "folder": {
        **BUILD,
        **_group(
            FOLDER,
            "image_dir label_dir image_suffix label_suffix list split val_fraction seed class_names num_classes name "
            "label_format ignore_label ignore_values ignore_colors reduce_zero_label color_tolerance most_unmatched "
            "binary_threshold resize_masks instances_as border_class border_pixels group_by folds fold",
        ),
        **_group(BANDS, "bands value_range"),
        "folder": ARRANGED,
        "format": BUILT_FROM.format("two_formats_in_one_folder_are_asked_about"),
        "overlap": BUILT_FROM.format("overlaps_are_told_and_the_flag_says_what_is_seen"),
    },
    "check": _group(CHECKED, "dataset_dir dataset contact_sheet num_samples"),
    "inspect": {"path": "programs/inspecting/test_inspect.py::test_the_flag_may_be_left_out"},
    "draw_shapes": _group(DRAWN, "output_dir train_images val_images size seed"),
    "shapes": {
        **{name: test for name, test in BUILD.items() if name not in ("append", "skip_bad", "max_image_pixels")},
        **_group(SHAPES, "output_dir overwrite train_images val_images size seed"),
    },
}  # fmt: skip
