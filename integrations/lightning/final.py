"""What a fit leaves behind: the weights, by which two trainings are told to be the same to the bit."""

from typing import Any

import torch

from barograph.integrations.torch.parameters import clean_name, is_sharded


def final_weights(module: Any) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name; empty where this process holds only a part of them.

    Not state_dict(): of a sharded model it would wait for the other processes, and users change what it gives.
    """
    found = {clean_name(name): one for name, one in [*module.named_parameters(), *module.named_buffers()]}
    if any(is_sharded(one) or type(one).__name__ == "FlatParameter" for one in found.values()):
        return {}
    return {name: one.detach() for name, one in found.items() if not torch.nn.parameter.is_lazy(one)}
