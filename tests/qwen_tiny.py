"""A tiny Qwen-VL with random weights, made in code and saved, so that the real loader can load it offline."""

from pathlib import Path

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
SPECIAL = (
    "<|endoftext|>",
    IM_START,
    IM_END,
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = ["Yes, No. Yes No Yes No", "a pedestrian crossing the road, a car ahead, none", "the driver is braking"] * 8
ROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}


def make_tokenizer(template=TEMPLATE, special=SPECIAL):
    """Byte-level BPE, as Qwen's: any text can be written, few words are one token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=360, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=IM_END,
        pad_token="<|endoftext|>",
        additional_special_tokens=list(special),
        chat_template=template,
    )


def make_config(tokenizer, kind="qwen2_vl"):
    """Two decoder layers of width 64 and two vision blocks, of the given model type."""
    import transformers

    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "bos_token_id": None,
        "eos_token_id": tokenizer.convert_tokens_to_ids(IM_END),
        "rope_parameters": ROPE,
    }
    vision = {"depth": 2, "num_heads": 4}
    if kind == "qwen2_vl":
        vision |= {"embed_dim": 64, "hidden_size": 64, "mlp_ratio": 2}
    else:
        vision |= {"hidden_size": 64, "intermediate_size": 128, "out_hidden_size": 64}
    vision |= {"deepstack_visual_indexes": [0], "num_position_embeddings": 64} if kind == "qwen3_vl" else {}
    vision |= {"fullatt_block_indexes": [1]} if kind == "qwen2_5_vl" else {}
    return transformers.AutoConfig.for_model(kind, text_config=text, vision_config=vision, **special_ids(tokenizer))


def special_ids(tokenizer):
    """A config's names of the tokens that stand for pictures, and their ids."""
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}


def seven_billion(text=None, **ids):
    """Qwen2-VL-7B's published sizes; `text` and `ids` are for a tokenizer other than its own."""
    from transformers import Qwen2VLConfig

    sizes = {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    }
    vision = {"depth": 32, "embed_dim": 1280, "hidden_size": 3584}
    return Qwen2VLConfig(text_config=sizes | (text or {}), vision_config=vision, **ids)


def save_tiny(folder: Path, kind="qwen2_vl", seed=0) -> Path:
    """The tokenizer, config and random weights of a tiny model of the given type, as a checkpoint's folder."""
    import torch

    from semore.guidance.qwen_family import family_of, model_class

    tokenizer = make_tokenizer()
    config = make_config(tokenizer, kind)
    torch.manual_seed(seed)
    model = model_class(family_of(config))(config)
    with torch.no_grad():  # wider than trained models start, so that answers differ between frames
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.15)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
