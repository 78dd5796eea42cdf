"""The members' tokenizer and processor: byte-level BPE, one token a label."""

from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlavaProcessor, PreTrainedTokenizerFast
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from inference.training.views import SIDE

PAD, END, IMAGE, USER, MEMBER = "<pad>", "<end>", "<image>", "<user>", "<member>"
PATCH = 32
IMAGE_TOKENS = (SIDE // PATCH) ** 2

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<user>' if message['role'] == 'user' else '<member>' }}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>{% endfor %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<member>{% endif %}"
)
"""The text stands before the pictures, so that training reads the constant prompt once a batch."""


def train_tokenizer(
    texts: Iterable[str], label_ids: Sequence[str], size: int
) -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most `size` tokens, fitted on `texts`; any text can be encoded."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, END, IMAGE, USER, MEMBER],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(label, single_word=True) for label in label_ids])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        extra_special_tokens={"image_token": IMAGE, "user_token": USER, "member_token": MEMBER},
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def image_processor() -> ViTImageProcessorPil:
    """Pictures scaled to SIDE x SIDE with mean = std = 0.5."""
    return ViTImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


def make_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """The tokenizer beside the image processor."""
    return LlavaProcessor(
        image_processor=image_processor(),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
    )
