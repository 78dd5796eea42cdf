"""Checkpoints of well-known families with random weights, small enough to be made on the spot."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIDE = 28
IMAGE, VIDEO, BEGIN, FINISH = "<image>", "<video>", "<begin>", "<finish>"
EXTRA = ("<fake>", "<global>", "<end_of_utterance>")


def template(image: str) -> str:
    """A chat template that shows pictures where they stand."""
    return (
        "{% for message in messages %}{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}" + image + "{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %}{% endfor %}"
    )


def make_tokenizer(**named: str) -> Any:
    """Byte-level BPE without merges to speak of; `named`: special tokens by the family's names."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        special_tokens=["<pad>", "<end>", IMAGE, VIDEO, BEGIN, FINISH, *EXTRA],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(["look closely"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="<end>",
        extra_special_tokens={"image_token": IMAGE} | named,
    )


TEXT: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
    "intermediate_size": 32, "initializer_range": 0.5, "eos_token_id": 1, "pad_token_id": 0,
    "bos_token_id": 1,
}  # fmt: skip
VISION: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": SIDE, "patch_size": 14,
}  # fmt: skip
IDS = {"image_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}


def _save(
    folder: Path, model: Any, tokenizer: Any, images: dict[str, Any], processor: dict[str, Any],
    *, image: str = IMAGE,
) -> Path:  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    (folder / "processor_config.json").write_text(json.dumps(processor))
    (folder / "chat_template.jinja").write_text(template(image))
    return folder


def llava(folder: Path, **text: Any) -> Path:
    """`text`: what is to be another of the decoder."""
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    tokenizer = make_tokenizer()
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**(TEXT | {"vocab_size": len(tokenizer)} | text)),
        image_token_index=2,
        image_seq_length=4,
    )
    images = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"height": SIDE, "width": SIDE},
        "crop_size": {"height": SIDE, "width": SIDE},
    }
    said = {
        "processor_class": "LlavaProcessor",
        "patch_size": 14,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    }
    return _save(folder, LlavaForConditionalGeneration(config), tokenizer, images, said)


def qwen(folder: Path) -> Path:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = make_tokenizer(video_token=VIDEO)
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    vision = {
        "depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "patch_size": 14,
        "out_hidden_size": 32, "spatial_merge_size": 2, "temporal_patch_size": 2,
        "fullatt_block_indexes": [0], "window_size": 28,
    }  # fmt: skip
    config = Qwen2_5_VLConfig(
        text_config=TEXT | {"vocab_size": len(tokenizer), "rope_parameters": rope},
        vision_config=vision,
        video_token_id=3,
        vision_start_token_id=4,
        vision_end_token_id=5,
        **IDS,
    )
    images = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "patch_size": 14,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "size": {"shortest_edge": 28 * 28, "longest_edge": 56 * 56},
    }
    said = {"processor_class": "Qwen2_5_VLProcessor"}
    model = Qwen2_5_VLForConditionalGeneration(config)
    return _save(folder, model, tokenizer, images, said, image=BEGIN + IMAGE + FINISH)


def smolvlm(folder: Path) -> Path:
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration

    tokenizer = make_tokenizer(
        fake_image_token="<fake>",
        global_image_token="<global>",
        end_of_utterance_token="<end_of_utterance>",
    )
    config = SmolVLMConfig(
        text_config=TEXT | {"model_type": "llama", "vocab_size": len(tokenizer)},
        vision_config=VISION,
        scale_factor=2,
        image_token_id=2,
        pad_token_id=0,
    )
    images = {
        "image_processor_type": "SmolVLMImageProcessor",
        "size": {"longest_edge": SIDE},
        "max_image_size": {"longest_edge": SIDE},
        "do_image_splitting": False,
    }
    said = {"processor_class": "SmolVLMProcessor", "image_seq_len": 1}
    return _save(folder, SmolVLMForConditionalGeneration(config), tokenizer, images, said)


def internvl(folder: Path) -> Path:
    from transformers import InternVLConfig, InternVLForConditionalGeneration

    tokenizer = make_tokenizer(
        start_image_token=BEGIN,
        end_image_token=FINISH,
        context_image_token=IMAGE,
        video_token=VIDEO,
    )
    sizes = {"image_size": [SIDE, SIDE], "patch_size": [14, 14]}
    config = InternVLConfig(
        text_config=TEXT | {"model_type": "qwen2", "vocab_size": len(tokenizer)},
        vision_config=VISION | sizes,
        image_token_id=2,
        image_seq_length=1,
        downsample_ratio=0.5,
    )
    images = {
        "image_processor_type": "GotOcr2ImageProcessor",
        "size": {"height": SIDE, "width": SIDE},
        "crop_to_patches": False,
    }
    said = {"processor_class": "InternVLProcessor", "image_seq_length": 1}
    return _save(folder, InternVLForConditionalGeneration(config), tokenizer, images, said)


def gemma(folder: Path) -> Path:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    tokenizer = make_tokenizer(boi_token=BEGIN, eoi_token=FINISH)
    config = Gemma3Config(
        text_config=TEXT
        | {"vocab_size": len(tokenizer), "head_dim": 16, "tie_word_embeddings": False},
        tie_word_embeddings=False,
        vision_config=VISION,
        mm_tokens_per_image=1,
        boi_token_index=4,
        eoi_token_index=5,
        image_token_index=2,
    )
    images = {
        "image_processor_type": "Gemma3ImageProcessor",
        "size": {"height": SIDE, "width": SIDE},
    }
    said = {"processor_class": "Gemma3Processor", "image_seq_length": 1}
    model = Gemma3ForConditionalGeneration(config)
    # Made of zeros, it would show no picture.
    model.model.multi_modal_projector.mm_input_projection_weight.data.normal_()
    return _save(folder, model, tokenizer, images, said, image=BEGIN)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "LLaVA": llava,
    "Qwen-VL": qwen,
    "SmolVLM": smolvlm,
    "InternVL": internvl,
    "Gemma 3": gemma,
}
