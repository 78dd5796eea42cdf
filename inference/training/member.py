"""A member as one Hugging Face checkpoint: tower, projector and decoder in a FastVlm."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    FastVlmConfig,
    FastVlmForConditionalGeneration,
    LlamaConfig,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from inference.training.finetune import State
from inference.training.tokens import IMAGE, IMAGE_TOKENS
from inference.training.towers import SPECS, build_tower, join_tower


@dataclass(frozen=True)
class DecoderShape:
    """Size of the Llama decoder; the default has about 2.5 million parameters."""

    width: int = 256
    layers: int = 3
    heads: int = 4
    inner: int = 640


def build_member(
    tower: str,
    top: State | None,
    tokenizer: PreTrainedTokenizerFast,
    shape: DecoderShape,
    seed: int,
) -> FastVlmForConditionalGeneration:
    """A member with a fine-tuned (or an ImageNet) tower and an untrained projector and decoder."""
    torch.manual_seed(seed)
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        initializer_range=0.02,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = FastVlmConfig(
        vision_config=SPECS[tower].config,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=IMAGE_TOKENS,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = FastVlmForConditionalGeneration(config)
    vision = build_tower(tower) if top is None else join_tower(tower, top)
    model.model.vision_tower.load_state_dict(vision.state_dict())
    model.generation_config.update(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None
    )
    return model.eval()


@torch.no_grad()
def aim_projector(
    model: FastVlmForConditionalGeneration,
    directions: NDArray[np.float32],
    maps: NDArray[np.float32],
) -> None:
    """Point the projector's first layer at what is known to matter.

    directions  (d, 1280) rows of the heads on the tower, taken in both signs; the rest of the layer
                starts from zero. Whatever the tower, a row then means the same.
    maps        (n, 1280) visual tokens, to bring each row to mean 0 and deviation 1
    """
    layer = model.model.multi_modal_projector.linear_1
    mean = maps.mean(axis=0)
    rows = np.concatenate([directions, -directions])[: len(layer.weight)]
    deviation = np.maximum(((maps - mean) @ rows.T).std(axis=0), 1e-6)
    weight = torch.from_numpy((rows / deviation[:, None]).astype(np.float32))
    layer.weight.zero_()
    layer.bias.zero_()
    layer.weight[: len(weight)] = weight
    layer.bias[: len(weight)] = -weight @ torch.from_numpy(mean)


def follow(model: FastVlmForConditionalGeneration, leader: Path) -> None:
    """Start from the words of another member: its decoder, and its projector's second layer."""
    other = FastVlmForConditionalGeneration.from_pretrained(leader, dtype="float32").model
    model.model.language_model.load_state_dict(other.language_model.state_dict())
    second = other.multi_modal_projector.linear_2
    model.model.multi_modal_projector.linear_2.load_state_dict(second.state_dict())


def save_member(
    model: FastVlmForConditionalGeneration, processor: LlavaProcessor, folder: Path
) -> None:
    """Write half-precision safetensors, configuration, tokenizer and processor."""
    folder.mkdir(parents=True, exist_ok=True)
    half = FastVlmForConditionalGeneration(model.config)
    half.load_state_dict(model.state_dict())
    half.generation_config = model.generation_config
    half.half().save_pretrained(folder)
    processor.save_pretrained(folder)
