"""The parts of CRIS against equations written out once more, plainly; names and shapes against the public model's."""

import hashlib
import math

import pytest
import torch
import torch.nn.functional as F
from phrase_models import TINY, VOCAB, stir, tiny_cris
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from semore.guidance.cris import Cris
from semore.guidance.cris_clip import load_clip
from semore.guidance.cris_config import CrisConfig
from semore.guidance.cris_decoder import Decoder, DecoderLayer, Projector, map_positions, sine_positions
from semore.guidance.cris_image import AttentionPool, Bottleneck, ImageEncoder
from semore.guidance.cris_neck import Neck, add_coordinates, double

START, END = VOCAB["<|startoftext|>"], VOCAB["<|endoftext|>"]
TOKENS = torch.tensor([[START, 5, 9, END, 0, 0, 0, 0, 0], [START, 3, 4, 7, 8, 11, END, 0, 0]])


@pytest.fixture(scope="module")
def model():
    return tiny_cris()


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def norm(layer: nn.BatchNorm2d, x):
    """Batch norm in eval mode, written out."""
    shape = [1, -1] + [1] * (x.ndim - 2)
    scale = layer.weight / (layer.running_var + 1e-5).sqrt()
    return (x - layer.running_mean.view(shape)) * scale.view(shape) + layer.bias.view(shape)


def conv_norm_relu(parts: nn.Sequential, x):
    weight = parts[0].weight
    return norm(parts[1], F.conv2d(x, weight, padding=weight.shape[-1] // 2)).clamp(min=0)


def layer_norm(layer, x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias


def attend(mha: nn.MultiheadAttention, queries, keys, values, allowed):
    """Attention of one sample, head by head: queries [N, C], keys and values [L, C], allowed bool [N, L]."""
    weights, biases = mha.in_proj_weight.chunk(3), mha.in_proj_bias.chunk(3)
    q, k, v = (x @ w.T + b for x, w, b in zip((queries, keys, values), weights, biases, strict=True))
    heads = []
    for qh, kh, vh in zip(*(x.chunk(mha.num_heads, 1) for x in (q, k, v)), strict=True):
        scores = (qh @ kh.T / math.sqrt(qh.shape[1])).masked_fill(~allowed, -math.inf)
        heads.append(scores.softmax(1) @ vh)
    return torch.cat(heads, 1) @ mha.out_proj.weight.T + mha.out_proj.bias


def close(one, other, atol=2e-5):
    torch.testing.assert_close(one, other, atol=atol, rtol=1e-4)


# names and shapes

# SHA-256 of the sorted lines "name [shape]" of the public model's state dict (github.com/DerrickWang005/CRIS.pytorch,
# commit e596332, built with random weights), less DistributedDataParallel's "module.".
PUBLIC = {
    "rn50": (662, "51d1ae79b64478280504d84d326961de8d0f9a77e46975f8837837a785cad6c8"),
    "rn101": (968, "1a9baa62b1d5fefcfdb3a6f8ceb61cd05487a0d7aa453b1c4e5cb86a025e7c49"),
}


@pytest.mark.parametrize("size", PUBLIC)
def test_names_and_shapes_are_the_public_model_s(size):
    with torch.device("meta"):
        state = Cris(getattr(CrisConfig, size)()).state_dict()
    lines = "".join(f"{name} {list(tensor.shape)}\n" for name, tensor in sorted(state.items()))
    assert (len(state), hashlib.sha256(lines.encode()).hexdigest()) == PUBLIC[size]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"side": 100}, "side must be a multiple of 32"),
        ({"pretrained_side": 16}, "pretrained_side must be a multiple of 32"),
        ({"text_heads": 3}, "divisible by text_heads 3"),
        ({"vision_width": 5}, "vision_width must be even"),
        ({"text_length": 78}, "text_length must be between 2 and 77"),
        ({"neck_channels": (256, 256, 1024)}, "must equal text_width"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        CrisConfig(**sizes)


# image


def test_attention_pool_is_attention_over_the_map_without_a_class_token():
    pool = stir(AttentionPool(3, 128, 24))
    x = torch.randn(2, 128, 3, 3)
    tokens = (x.flatten(2) + pool.positional_embedding[1:].T).permute(2, 0, 1)
    attended, _ = F.multi_head_attention_forward(
        *(tokens, tokens, tokens, 128, 2, None),
        torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
        *(None, None, False, 0.0, pool.c_proj.weight, pool.c_proj.bias),
        training=False,
        use_separate_proj_weight=True,
        q_proj_weight=pool.q_proj.weight,
        k_proj_weight=pool.k_proj.weight,
        v_proj_weight=pool.v_proj.weight,
    )
    residual = norm(pool.connect[1], F.conv2d(x, pool.connect[0].weight))
    close(pool(x), (attended.permute(1, 2, 0).reshape(2, 24, 3, 3) + residual).clamp(min=0))


def bicubic_matrix(wanted, given):
    """Rows of weights of cubic convolution (a = -0.75), pixel centres, edges repeated."""
    matrix = torch.zeros(wanted, given)
    for row in range(wanted):
        centre = (row + 0.5) * given / wanted - 0.5
        for tap in range(math.floor(centre) - 1, math.floor(centre) + 3):
            d = abs(centre - tap)
            near, far = 1.25 * d**3 - 2.25 * d**2 + 1, -0.75 * d**3 + 3.75 * d**2 - 6 * d + 3
            matrix[row, min(max(tap, 0), given - 1)] += near if d <= 1 else far
    return matrix


def test_positions_are_resized_bicubically_and_the_class_token_s_is_not_used():
    pool = stir(AttentionPool(3, 64, 8))
    grid = pool.positional_embedding[1:].T.reshape(64, 3, 3)
    close(pool.positions(5, 4)[0], bicubic_matrix(5, 3) @ grid @ bicubic_matrix(4, 3).T)
    x = torch.randn(1, 64, 5, 4)
    before = pool(x)
    pool.positional_embedding[0] += 1
    assert torch.equal(pool(x), before)
    pool.positional_embedding[1] += 1
    assert not torch.allclose(pool(x), before)


@pytest.mark.parametrize(("in_channels", "stride"), [(8, 2), (16, 2), (8, 1), (16, 1)])
def test_bottleneck(in_channels, stride):
    block = stir(Bottleneck(in_channels, 4, stride))
    x = torch.randn(2, in_channels, 6, 6)
    inner = norm(block.bn1, F.conv2d(x, block.conv1.weight)).clamp(min=0)
    inner = norm(block.bn2, F.conv2d(inner, block.conv2.weight, padding=1)).clamp(min=0)
    inner = norm(block.bn3, F.conv2d(F.avg_pool2d(inner, stride), block.conv3.weight))
    shortcut = x
    if in_channels != 16 or stride != 1:
        shortcut = norm(block.downsample[1], F.conv2d(F.avg_pool2d(x, stride), block.downsample[0].weight))
    close(block(x), (inner + shortcut).clamp(min=0))


def test_image_levels(model):
    encoder: ImageEncoder = model.backbone.visual
    x = torch.randn(2, 3, 64, 96)
    levels = encoder(x)
    assert [tuple(level.shape[1:]) for level in levels] == [(32, 8, 12), (64, 4, 6), (24, 2, 3)]
    stem = norm(encoder.bn1, F.conv2d(x, encoder.conv1.weight, stride=2, padding=1)).clamp(min=0)
    stem = norm(encoder.bn2, F.conv2d(stem, encoder.conv2.weight, padding=1)).clamp(min=0)
    stem = norm(encoder.bn3, F.conv2d(stem, encoder.conv3.weight, padding=1)).clamp(min=0)
    close(levels[0], encoder.layer2(encoder.layer1(F.avg_pool2d(stem, 2))))
    close(levels[1], encoder.layer3(levels[0]))
    close(levels[2], encoder.attnpool(encoder.layer4(levels[1])))


# text


def clip_of_transformers(backbone):
    """transformers' own CLIP text encoder with our weights."""
    config = CLIPTextConfig(
        vocab_size=TINY.vocab_size,
        hidden_size=TINY.text_width,
        intermediate_size=4 * TINY.text_width,
        projection_dim=TINY.embed_dim,
        num_hidden_layers=TINY.text_layers,
        num_attention_heads=TINY.text_heads,
        max_position_embeddings=TINY.context_length,
        hidden_act="quick_gelu",
        eos_token_id=END,
        bos_token_id=START,
        pad_token_id=0,
    )
    theirs = CLIPTextModelWithProjection(config).eval()
    state = {
        "text_model.embeddings.token_embedding.weight": backbone.token_embedding.weight,
        "text_model.embeddings.position_embedding.weight": backbone.positional_embedding,
        "text_model.final_layer_norm.weight": backbone.ln_final.weight,
        "text_model.final_layer_norm.bias": backbone.ln_final.bias,
        "text_projection.weight": backbone.text_projection.T,
    }
    names = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    names["attn.out_proj"] = "self_attn.out_proj"
    for index, block in enumerate(backbone.transformer.resblocks):
        own, prefix = block.state_dict(), f"text_model.encoder.layers.{index}"
        for kind in ("weight", "bias"):
            parts = zip("qkv", own[f"attn.in_proj_{kind}"].chunk(3), strict=True)
            state |= {f"{prefix}.self_attn.{letter}_proj.{kind}": part for letter, part in parts}
            state |= {f"{prefix}.{new}.{kind}": own[f"{old}.{kind}"] for old, new in names.items()}
    keys = theirs.state_dict().keys()
    if "text_model.embeddings.token_embedding.weight" not in keys:
        state = {name.removeprefix("text_model."): tensor for name, tensor in state.items()}
    theirs.load_state_dict(state, strict=True)
    return theirs


def test_text_encoder_is_clip_s(model):
    words, state = model.backbone.encode_text(TOKENS)
    theirs = clip_of_transformers(model.backbone)(input_ids=TOKENS)
    close(words, theirs.last_hidden_state)
    close(state, theirs.text_embeds)


def test_a_token_sees_itself_and_those_before_it(model):
    words, _ = model.backbone.encode_text(TOKENS)
    changed = TOKENS.clone()
    changed[:, 3] = 20
    after, _ = model.backbone.encode_text(changed)
    close(after[:, :3], words[:, :3])
    assert all((after[:, n] - words[:, n]).abs().max() > 1e-3 for n in range(3, 9))


def test_the_sentence_is_read_at_the_end_token(model):
    words, state = model.backbone.encode_text(TOKENS)
    projection = model.backbone.text_projection
    close(state, torch.stack([words[0, 3] @ projection, words[1, 6] @ projection]))


# neck


def test_coordinates_follow_the_map_x_before_y_from_minus_one_to_one():
    x = torch.randn(2, 3, 3, 5)
    out = add_coordinates(x)
    assert out.shape == (2, 5, 3, 5)
    assert torch.equal(out[:, :3], x)
    for row in range(3):
        for column in range(5):
            close(out[:, 3:, row, column], torch.tensor([[column / 2 - 1, row - 1.0]] * 2))


def test_neck(model):
    neck: Neck = model.neck
    levels = torch.randn(2, 32, 8, 8), torch.randn(2, 64, 4, 4), torch.randn(2, 24, 2, 2)
    state = torch.randn(2, 24)
    gate = norm(neck.txt_proj[1], state @ neck.txt_proj[0].weight.T).clamp(min=0)
    five = norm(neck.norm_layer[0], conv_norm_relu(neck.f1_v_proj, levels[2]) * gate[..., None, None]).clamp(min=0)
    four = torch.cat([conv_norm_relu(neck.f2_v_proj, levels[1]), double(five)], 1)
    four = conv_norm_relu(neck.f2_cat, four)
    pooled = conv_norm_relu(neck.f3_v_proj, levels[0]).reshape(2, 8, 4, 2, 4, 2).mean((3, 5))
    three = conv_norm_relu(neck.f3_cat, torch.cat([pooled, four], 1))
    parts = zip((neck.f4_proj3, neck.f4_proj4, neck.f4_proj5), (three, four, five), strict=True)
    three, four, five = (conv_norm_relu(part, x) for part, x in parts)
    fused = conv_norm_relu(neck.aggr, torch.cat([three, four, double(five)], 1))
    fused = conv_norm_relu(neck.coordconv[0].conv1, add_coordinates(fused))
    close(neck(levels, state), conv_norm_relu(neck.coordconv[1], fused))


def test_double_keeps_pixel_centres():
    close(double(torch.tensor([[[[0.0, 4.0]]]])), torch.tensor([[[[0.0, 1.0, 3.0, 4.0]] * 2]]))


# decoder


def test_positions_are_sines():
    table = sine_positions(5, 8)
    for position in range(5):
        for pair in range(4):
            angle = position / 10_000 ** (2 * pair / 8)
            close(table[position, 2 * pair : 2 * pair + 2], torch.tensor([math.sin(angle), math.cos(angle)]))
    grid = map_positions(3, 5, 8).reshape(3, 5, 8)
    for row in range(3):
        for column in range(5):
            close(grid[row, column], torch.cat([sine_positions(5, 4)[column], sine_positions(3, 4)[row]]))


def layer_written_out(layer: DecoderLayer, x, words, positions, word_positions, real):
    """One sample: x [N, C], words [L, C], real bool [L]."""
    n = len(x)
    values = layer_norm(layer.norm1, x)
    everything = torch.ones(n, n, dtype=torch.bool)
    attended = attend(layer.self_attn, values + positions, values + positions, values, everything)
    x = x + layer_norm(layer.self_attn_norm, attended)
    queries = layer_norm(layer.norm2, x) + positions
    attended = attend(layer.multihead_attn, queries, words + word_positions, words, real.expand(n, -1))
    x = x + layer_norm(layer.cross_attn_norm, attended)
    hidden = (layer_norm(layer.norm3, x) @ layer.ffn[0].weight.T + layer.ffn[0].bias).clamp(min=0)
    return x + layer_norm(layer.ffn[3], hidden) @ layer.ffn[4].weight.T + layer.ffn[4].bias


def test_decoder(model):
    decoder: Decoder = model.decoder
    fused, words = torch.randn(2, 16, 2, 3), torch.randn(2, 9, 16)
    padding = TOKENS == 0
    out = decoder(fused, words, padding)
    assert out.shape == fused.shape
    for sample in range(2):
        x = fused[sample].flatten(1).T
        for layer in decoder.layers:
            x = layer_written_out(
                layer, x, words[sample], map_positions(2, 3, 16), sine_positions(9, 16), ~padding[sample]
            )
        close(out[sample].flatten(1).T, layer_norm(decoder.norm, x))


def test_padding_is_not_read_and_words_are(model):
    levels = model.backbone.encode_image(torch.randn(1, 3, 64, 64))
    words, state = model.backbone.encode_text(TOKENS[:1])
    before = model.decode(levels, TOKENS[:1], words, state)
    padded, real = words.clone(), words.clone()
    padded[:, 4:] += torch.randn(1, 5, 16)
    real[:, 2] += torch.randn(16)
    assert torch.equal(model.decode(levels, TOKENS[:1], padded, state), before)
    assert (model.decode(levels, TOKENS[:1], real, state) - before).abs().max() > 1e-4


def test_a_phrase_reads_the_same_whatever_its_padding(model):
    picture = torch.randn(1, 3, 64, 64)
    close(model(picture, TOKENS[:1]), model(picture, TOKENS[:1, :5]))


def test_projector_convolves_each_map_with_its_own_sentence_s_filter(model):
    projector: Projector = model.proj
    x, state = torch.randn(3, 16, 4, 4), torch.randn(3, 24)
    wide = conv_norm_relu(projector.vis[3], double(conv_norm_relu(projector.vis[1], double(x))))
    narrow = F.conv2d(wide, projector.vis[4].weight, projector.vis[4].bias)
    made = state @ projector.txt.weight.T + projector.txt.bias
    for sample in range(3):
        filters, bias = made[sample, :-1].reshape(1, 8, 3, 3), made[sample, -1:]
        close(projector(x, state)[sample], F.conv2d(narrow[sample][None], filters, bias, padding=1)[0, 0])


def test_logits_are_a_quarter_of_the_picture_and_samples_are_apart(model):
    pictures = torch.randn(2, 3, 96, 64)
    logits = model(pictures, TOKENS)
    assert logits.shape == (2, 24, 16)
    for sample in range(2):
        close(model(pictures[sample : sample + 1], TOKENS[sample : sample + 1])[0], logits[sample], atol=1e-4)


# CLIP's own weights


def test_clip_s_weights_enter_by_name_and_what_is_left_is_reported():
    theirs, ours = tiny_cris().backbone, Cris(TINY).backbone
    weights = {k: v.half() for k, v in theirs.state_dict().items() if "attnpool.connect" not in k}
    weights |= {"context_length": torch.tensor(20), "stranger": torch.zeros(1)}
    report = load_clip(ours, weights)
    assert report.unexpected == ("stranger",)
    assert len(report.missing) == 6
    assert all(name.startswith("visual.attnpool.connect.") for name in report.missing)
    own = ours.state_dict()
    assert all(
        torch.equal(own[k], weights[k].float()) for k in weights.keys() & own.keys() if own[k].is_floating_point()
    )


def test_clip_weights_of_another_shape_or_name_are_refused_and_nothing_is_copied():
    ours = Cris(TINY).backbone
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    weights = {name: tensor + 1 for name, tensor in before.items()}
    weights["text_projection"] = weights["text_projection"].T
    with pytest.raises(ValueError, match=r"text_projection \[24, 16\] instead of \[16, 24\]"):
        load_clip(ours, weights)
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())
    with pytest.raises(ValueError, match=r"no name among 1 CLIP weights fits, the first is 'text_model.x'"):
        load_clip(ours, {"text_model.x": torch.zeros(1)})
