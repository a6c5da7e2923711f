"""Transformers, small ones of torchvision's own classes."""

import torch
from torchvision.models import MaxVit, SwinTransformer, VisionTransformer
from torchvision.models.swin_transformer import PatchMergingV2, ShiftedWindowAttentionV2, SwinTransformerBlockV2

from lowres.models.surgery import adapt, adaptation
from lowres.models.surgery.kernels import resize_table


def check(adapted, classes=10):
    images = torch.randn(2, 3, 32, 32)
    logits = adapted.train()(images)
    assert logits.shape == (2, classes)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in adapted.parameters())
    return adaptation(adapted)


def test_vit_gets_smaller_patches_and_interpolated_positions():
    network = VisionTransformer(224, 16, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=16)
    torch.nn.init.normal_(network.encoder.pos_embedding)
    adapted = adapt(network, stem="resize", gradients=0)
    report = check(adapted)
    assert adapted.conv_proj.kernel_size == adapted.conv_proj.stride == (4, 4)
    positions, old = adapted.encoder.pos_embedding[0], network.encoder.pos_embedding[0]
    assert positions.shape == (1 + 64, 16)
    assert torch.equal(positions[0], old[0])  # the class token's
    torch.testing.assert_close(positions[1:], resize_table(old[1:].detach(), 8))
    assert set(report.changed) == {"conv_proj.weight", "encoder.pos_embedding"}
    assert report.before.error
    kept = adapted.encoder.layers.encoder_layer_0.mlp[0].weight
    assert torch.equal(kept, network.encoder.layers.encoder_layer_0.mlp[0].weight)


def swin(**options):
    return SwinTransformer([4, 4], 8, [2, 2, 2, 2], [1, 2, 4, 8], options.pop("window"), **options)


def test_swin_gets_smaller_patches_windows_and_one_merging_less():
    network = swin(window=[7, 7])
    adapted = adapt(network, gradients=0)
    report = check(adapted)
    assert report.after.smallest_map == 4
    attention = adapted.features[5][1].attn
    assert (attention.window_size, attention.shift_size) == ([4, 4], [2, 2])
    old = network.features[5][1].attn.relative_position_bias_table.detach()
    torch.testing.assert_close(attention.relative_position_bias_table.detach(), resize_table(old, 7))
    assert torch.equal(adapted.features[2].reduction.weight, network.features[2].reduction.weight)
    assert set(report.new) == {"head.weight", "head.bias"}


def test_swin_v2_computes_its_positions():
    network = swin(window=[8, 8], block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2)
    adapted = adapt(network, gradients=0)
    assert check(adapted).after.smallest_map == 4
    attention = adapted.features[5][1].attn
    assert isinstance(attention, ShiftedWindowAttentionV2)
    assert attention.relative_coords_table.shape == (1, 7, 7, 2)


def test_maxvit_gets_partitions_that_divide_its_maps():
    network = MaxVit(
        (224, 224),
        stem_channels=8,
        partition_size=7,
        block_channels=[8, 16, 16, 16],
        block_layers=[1, 1, 1, 1],
        head_dim=8,
        stochastic_depth_prob=0.0,
    )
    adapted = adapt(network, gradients=0)
    report = check(adapted)
    assert report.after.smallest_map == 4
    assert {layer.grid_size for layer in adapted.modules() if hasattr(layer, "partition_type")} == {
        *((32, 32), (16, 16), (8, 8), (4, 4))
    }
    assert adapted.blocks[0].layers[0].layers.window_attention.attn_layer[1].size == 4
