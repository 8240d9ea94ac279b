"""A results folder as plain nnU-Net leaves it, with seeded weights and none of this package's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ecg_hough.paper import LEADS
from made_up_run import make_plans


def write_plain_results(
    folder: Path,
    *,
    channels: tuple[str, ...] = ("Signals",),
    scheme: str = "ZScoreNormalization",
    patch: tuple[int, int] = (64, 96),
    folds: tuple[str, ...] = ("0",),
    slices: int = 1,
    mirrors: tuple[int, ...] | None = (0, 1),
    gain: float = 4.0,
) -> Path:
    """`folder`/nnUNetTrainer__nnUNetPlans__2d with a checkpoint in every fold; returns it.

    Args:
        slices: of the volumes that were planned for: 3 where the three planes of a picture were slices.
        gain: factor of the last layer's weights, so that probabilities are not all alike.
    """
    import numpy as np
    import torch
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from ecg_hough.training.nnunet_run import build_network

    n = len(channels)
    plans: dict[str, Any] = make_plans()
    plans.pop("training")
    planned = plans["configurations"]["2d"]
    planned |= {
        "patch_size": list(patch),
        "normalization_schemes": [scheme] * n,
        "use_mask_for_norm": [False] * n,
        "batch_size": 2,
    }
    kwargs = planned["architecture"]["arch_kwargs"]
    stages = 4
    kwargs.update(
        n_stages=stages, features_per_stage=[4, 8, 8, 8], kernel_sizes=[[3, 3]] * stages,
        strides=[[1, 1]] + [[2, 2]] * (stages - 1), n_conv_per_stage=[1] * stages,
        n_conv_per_stage_decoder=[1] * (stages - 1),
    )  # fmt: skip
    planned["architecture"]["network_class_name"] = (
        "dynamic_network_architectures.architectures.unet.PlainConvUNet"
    )
    plans |= {"plans_name": "nnUNetPlans", "original_median_shape_after_transp": [slices, 170, 220]}
    dataset = {
        "channel_names": {str(k): name for k, name in enumerate(channels)},
        "labels": {"background": 0, **{lead: k + 1 for k, lead in enumerate(LEADS)}},
        "numTraining": 34134,
        "file_ending": ".png",
    }
    root = folder / "nnUNetTrainer__nnUNetPlans__2d"
    for k, fold in enumerate(folds):
        torch.manual_seed(k)
        network = build_network(PlansManager(plans).get_configuration("2d"), n, 13)
        weights = network.state_dict()
        for name, value in weights.items():
            if "seg_layers" in name:
                value *= gain
        place = root / f"fold_{fold}"
        place.mkdir(parents=True)
        state = {
            "network_weights": weights,
            "optimizer_state": {},
            "grad_scaler_state": None,
            "logging": {"train_losses": [np.float64(0.5)], "mean_fg_dice": [np.float32(0.25)]},
            "_best_ema": np.float64(0.25),
            "current_epoch": 500,
            "init_args": {
                "plans": plans, "configuration": "2d", "fold": fold if fold == "all" else int(fold),
                "dataset_json": dataset, "device": torch.device("cpu"),
            },
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": mirrors,
        }  # fmt: skip
        torch.save(state, place / "checkpoint_final.pth")
    (root / "plans.json").write_text(json.dumps(plans))
    (root / "dataset.json").write_text(json.dumps(dataset))
    return root
