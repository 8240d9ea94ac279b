"""An nnU-Net result folder with random weights, as `train` leaves it, without training."""

import json
from pathlib import Path
from typing import Any

from ecg_hough.paper import LEADS
from ecg_hough.training.train import _planned, read_config

SIDE = 704
_RESAMPLING: dict[str, Any] = {"order_z": 0, "force_separate_z": None}


def make_plans() -> dict[str, Any]:
    """Plans of the tiny configuration, as nnU-Net 2.8.1 writes them."""
    config = read_config("tiny")
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "conv_op": "torch.nn.modules.conv.Conv2d",
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    resample = "resample_data_or_seg_to_shape"
    planned = {
        "preprocessor_name": "DefaultPreprocessor",
        "median_image_size_in_voxels": [SIDE, SIDE],
        "spacing": [1.0, 1.0],
        "normalization_schemes": ["RGBTo01Normalization"] * 3,
        "use_mask_for_norm": [False] * 3,
        "resampling_fn_data": resample,
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, **_RESAMPLING},
        "resampling_fn_seg": resample,
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, **_RESAMPLING},
        "resampling_fn_probabilities": resample,
        "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, **_RESAMPLING},
        "architecture": architecture,
    }
    return {
        "dataset_name": "Dataset500_Signals",
        "plans_name": "tinyPlans",
        "original_median_spacing_after_transp": [999.0, 1.0, 1.0],
        "original_median_shape_after_transp": [1, SIDE, SIDE],
        "image_reader_writer": "NaturalImage2DIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"2d": _planned(planned, config["configuration"], "tinyPlans_2d")},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(k): {} for k in range(3)},
        "training": config["training"],
    }


def make_dataset_json() -> dict[str, Any]:
    return {
        "channel_names": {str(k): "rgb_to_0_1" for k in range(3)},
        "labels": {"background": 0, **{lead: k + 1 for k, lead in enumerate(LEADS)}},
        "numTraining": 6,
        "file_ending": ".png",
        "overwrite_image_reader_writer": "NaturalImage2DIO",
    }


def write_nnunet_run(
    folder: Path, *, seed: int = 0, kind: str = "latest", scale: float = 1.0, output_scale: float = 1.0
) -> Path:
    """`folder`/fold_0 with a checkpoint of random weights.

    `scale` multiplies all convolutions' weights, `output_scale` those of the last ones.
    """
    import torch
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from ecg_hough.training.nnunet_run import build_network

    plans, dataset = make_plans(), make_dataset_json()
    torch.manual_seed(seed)
    network = build_network(PlansManager(plans).get_configuration("2d"), 3, 13)
    weights = network.state_dict()
    for name, value in weights.items():
        if value.ndim == 4:
            value *= scale * (output_scale if "seg_layers" in name else 1.0)
    fold = folder / "fold_0"
    fold.mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    state = {
        "network_weights": weights,
        "raw_weights": weights,
        "n_steps": 20,
        "current_epoch": 2,
        "init_args": {"plans": plans, "configuration": "2d", "fold": 0, "dataset_json": dataset},
        "trainer_name": "EcgHoughTrainer",
    }
    torch.save(state, fold / f"checkpoint_{kind}.pth")
    rows = ["epoch,steps,val_dice", "0,10,0.1", "1,20,nan"]
    (fold / "log.csv").write_text("\n".join(rows) + "\n")
    return fold


def write_trace_run(folder: Path) -> Path:
    """The run folder of a small trace network as if trained: no two tensors alike, which an export would
    store once."""
    import torch

    from ecg_hough.training.trace_network import make_network

    features = (4, 8, 8)
    torch.manual_seed(0)
    network = make_network(features)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    weights = network.state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(
        {"network": weights, "average": weights, "step": 7, "optimizer": {}}, folder / "checkpoint.pth"
    )
    settings = {"steps": 9, "batch_size": 2, "learning_rate": 1e-3, "ema": 0.9, "seed": 4,
                "features": features, "records": 5}  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "log.csv").write_text("step,val_rmse_px\n3,1.5\n7,0.5\n")
    return folder
