"""Numbers of parameters of the published networks."""

PARAMETERS = {  # trainable parameters, counted by the reference, with the published number of classes
    "mobilenetv2_dm05_coco_voc_trainaug": 697_013,
    "mobilenetv2_coco_voc_trainaug": 2_113_557,
    "mobilenetv2_coco_cityscapes_trainfine": 2_113_043,
    "mobilenetv2_ade20k_train": 2_304_519,
    "xception65_coco_voc_trainaug": 41_055_413,
    "xception65_cityscapes_trainfine": 41_054_899,
    "xception65_ade20k_train": 41_088_823,
    "xception71_dpc_cityscapes_trainfine": 41_608_523,
    "mobilenetv3_large_cityscapes_trainfine": 1_507_198,
    "mobilenetv3_small_cityscapes_trainfine": 468_830,
    "EdgeTPU-DeepLab": 3_603_283,
    "EdgeTPU-DeepLab-slim": 1_942_187,
}
