"""Tiny random segmenters and their tokenizer, built in code: no weights and no files."""

import string

import torch
from torch import nn
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, CLIPTokenizer

from semore.guidance.clipseg import ClipSegSegmenter
from semore.guidance.cris import Cris, CrisSegmenter
from semore.guidance.cris_config import CrisConfig
from semore.guidance.cris_tokens import CrisTokenizer
from semore.guidance.phrase_segmenter import PictureFormat

LETTERS = [*("!" + string.ascii_lowercase), *(f"{c}</w>" for c in "!" + string.ascii_lowercase)]
WORDS = ["ca", "car</w>", "<|startoftext|>", "<|endoftext|>"]
VOCAB = {token: index for index, token in enumerate([*LETTERS, *WORDS])}
MERGES = [("c", "a"), ("ca", "r</w>")]

TINY = CrisConfig(
    vision_layers=(1, 2, 1, 1),
    vision_width=4,
    embed_dim=24,
    pretrained_side=96,
    vocab_size=len(VOCAB),
    context_length=20,
    text_width=16,
    text_heads=2,
    text_layers=2,
    side=64,
    text_length=9,
    neck_channels=(8, 16, 32),
    decoder_layers=2,
    decoder_heads=4,
    ffn_width=32,
)


def clip_tokenizer():
    return CLIPTokenizer(vocab=dict(VOCAB), merges=list(MERGES))


def stir(model: nn.Module) -> nn.Module:
    """Random norms and biases, so that no part of an equation hides behind a one or a zero; strong convolutions."""
    generator = torch.Generator().manual_seed(7)

    def uniform(like, low, high):
        return low + (high - low) * torch.rand(like.shape, generator=generator)

    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith(("running_var", "norm.weight")) or (value.ndim == 1 and name.endswith("weight")):
                value.copy_(uniform(value, 0.5, 1.5))
            elif name.endswith(("bias", "running_mean")):
                value.copy_(uniform(value, -0.3, 0.3))
            elif value.ndim == 4:
                value.mul_(6**0.5)  # from PyTorch's start to He's, so that pictures are not lost on their way
    return model.eval()


def tiny_cris() -> Cris:
    torch.manual_seed(3)
    model = Cris(TINY)
    for embedding in (model.backbone.token_embedding.weight, model.backbone.positional_embedding):
        nn.init.normal_(embedding)
    return stir(model)


def tiny_cris_segmenter(max_batch=16, revision="tiny", **options) -> CrisSegmenter:
    tokenize = CrisTokenizer(clip_tokenizer(), TINY)
    return CrisSegmenter(tiny_cris().train(), tokenize, revision=revision, max_batch=max_batch, **options)


def tiny_clipseg() -> CLIPSegForImageSegmentation:
    torch.manual_seed(5)
    shared = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    text = shared | {
        "num_hidden_layers": 2,
        "vocab_size": len(VOCAB),
        "max_position_embeddings": 12,
        "eos_token_id": VOCAB["<|endoftext|>"],
        "bos_token_id": VOCAB["<|startoftext|>"],
    }
    vision = shared | {"num_hidden_layers": 3, "image_size": 32, "patch_size": 8}
    config = CLIPSegConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=16,
        extract_layers=[0, 1, 2],
        reduce_dim=8,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    model = CLIPSegForImageSegmentation(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


CLIPSEG_PICTURES = PictureFormat(
    side=32, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), interpolation="bilinear"
)


def tiny_clipseg_segmenter(max_batch=16, revision="tiny") -> ClipSegSegmenter:
    model = tiny_clipseg().train()
    return ClipSegSegmenter(model, clip_tokenizer(), CLIPSEG_PICTURES, revision=revision, max_batch=max_batch)


def frames(count=4, side=48):
    generator = torch.Generator().manual_seed(11)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)
