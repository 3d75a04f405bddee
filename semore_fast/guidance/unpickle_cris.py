"""Child of `convert_cris`: the one place where a pickled checkpoint is opened, run as a script of its own.

It knows nothing of this package, is started with Python's isolated mode and without the parent's environment, and
lets torch read tensors and plain containers only.
"""

import sys
from pickle import UnpicklingError

import torch
from safetensors.torch import save_file


def main(checkpoint: str, out: str) -> str | None:
    """Write the tensors under `state_dict` to `out`; return what is wrong, in one line, or None."""
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        return f"not a checkpoint of plain tensors ({type(error).__name__}: {reason})"
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        return "no state_dict in it"
    odd = [name for name, value in state.items() if not (isinstance(name, str) and isinstance(value, torch.Tensor))]
    if odd:
        return f"not a tensor in its state_dict: {odd[0]!r}"
    # Copies: safetensors refuses tensors that share storage.
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in state.items()}, out)
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
