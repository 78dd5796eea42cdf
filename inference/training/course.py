"""One member's way to a checkpoint, for one part of the photos. Each step is kept on disk.

tower    the top of the vision tower is fine-tuned; linear heads give soft labels
answers  the decoder learns stages 1 and 2, and stage 3 on composed drafts
reflect  the decoder learns stage 3 on the member's own out-of-fold answers
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from inference.backends.huggingface import HuggingFaceBackend
from inference.backends.registry import MemberSpec
from inference.drawings import draw_wound
from inference.pipeline.domains import Domain, load_domain
from inference.pipeline.parsing import Answer
from inference.pipeline.prompts import answer_prompt, reflection_prompt
from inference.pipeline.run import (
    answer_request,
    read_answer,
    read_reflection,
    reflection_request,
)
from inference.training import finetune, measure, views, wording
from inference.training.decoder import (
    Lessons,
    Reflected,
    Tutor,
    train_decoder,
    train_language,
)
from inference.training.features import FeatureSet, cached_features
from inference.training.member import aim_projector, build_member, save_member
from inference.training.photos import (
    Photo,
    grouped_folds,
    orientation_hashes,
    read_folder,
    twin_groups,
)
from inference.training.settings import EVERYTHING, OPTIONS, Settings
from inference.training.tokens import make_processor, train_tokenizer
from inference.training.towers import build_tower, channels_last
from inference.training.wording import Wording

MADE_UP = 3000  # answers that the decoder learns to write from
FEW = 4  # versions of a picture that linear heads make do with, and that drawings have


class Course:
    """The photos, their features and folds, as every step needs them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.domain: Domain = load_domain(settings.domain)
        self.words = wording.load_wording(settings.domain)
        self.photos: tuple[Photo, ...] = read_folder(settings.data)
        ids = list(self.domain.label_ids)
        self.labels = np.array([ids.index(photo.label) for photo in self.photos])
        drawn = range(settings.drawings * len(ids))
        self.drawn_labels = np.array([one % len(ids) for one in drawn], dtype=np.int64)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """Near-twin group (n,) of each photo."""
        path = self.settings.groups_file()
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            hashes = [orientation_hashes(photo.image()) for photo in self.photos]
            np.save(path, twin_groups(np.stack(hashes), self._twin_features()))
        return np.asarray(np.load(path))

    @torch.inference_mode()
    def _twin_features(self) -> NDArray[np.float32]:
        tower = channels_last(build_tower("lite0"))
        rows = []
        for photo in self.photos:
            image = photo.image()
            pair = [image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
            pooled = tower(torch.from_numpy(views.pixels(pair))).last_hidden_state.mean((0, 2, 3))
            rows.append((pooled / pooled.norm()).numpy())
        return np.stack(rows)

    @cached_property
    def fold_of(self) -> NDArray[np.int64]:
        """Fold (n,) of each photo; near-twins share one."""
        labels = [photo.label for photo in self.photos]
        return grouped_folds(labels, self.groups, max(1, self.settings.folds), self.settings.seed)

    def prepare(self) -> None:
        """Compute what all steps share, once, before workers read it."""
        self.photo_features()
        if len(self.drawn_labels):
            self.drawing_features()
        self.language()
        _ = self.fold_of

    def language(self) -> tuple[PreTrainedTokenizerFast, finetune.State]:
        """Tokenizer, and a decoder that knows how answers are written; the same for all members."""
        folder = self.settings.run / "language"
        if not (folder / "decoder.pt").exists():
            drafts = self._made_up_drafts()
            tokenizer = train_tokenizer(
                self._corpus(drafts), self.domain.label_ids, self.settings.vocabulary
            )
            model = build_member("lite0", None, tokenizer, self.settings.shape, self.settings.seed)
            tutor = Tutor(tokenizer, self.domain)
            train_language(model, tutor, drafts, self.settings.decoder, self.settings.seed)
            tokenizer.save_pretrained(folder)
            torch.save(model.model.language_model.state_dict(), folder / "decoder.pt")
        decoder = torch.load(folder / "decoder.pt", weights_only=True)
        return AutoTokenizer.from_pretrained(folder), decoder

    def _made_up_drafts(self) -> list[Reflected]:
        rng = np.random.default_rng(self.settings.seed)
        ids = self.domain.label_ids
        return [Reflected(*wording.made_up_answer(self.words, ids, rng)) for _ in range(MADE_UP)]

    def _corpus(self, drafts: Sequence[Reflected]) -> list[str]:
        some = drafts[:600]
        texts = [wording.answer_text(one.answer) for one in some]
        replies = [wording.reflection_text(self.words, one.answer, one.label) for one in some]
        prompts = [reflection_prompt(self.domain, one.answer) for one in some[:60]]
        return [*[answer_prompt(self.domain)] * 40, *prompts, *texts, *replies]

    def inside(self, part: int) -> NDArray[np.int64]:
        """Rows of the photos that a part learns from; none of its fold, all for EVERYTHING."""
        if part == EVERYTHING:
            return np.arange(len(self.photos))
        return np.flatnonzero(self.fold_of != part)

    def outside(self, part: int) -> NDArray[np.int64]:
        """Rows of the photos that a part never sees."""
        return np.setdiff1d(np.arange(len(self.photos)), self.inside(part))

    def photo_features(self) -> FeatureSet:
        """Features of the photos, in as many augmented versions as the settings say."""
        pictures = (photo.image() for photo in self.photos)
        return self._features("photos", pictures, len(self.photos), self.settings.augmentations)

    def drawing_features(self) -> FeatureSet:
        """Features of the drawings, in a few versions."""
        return self._features("drawings", self._drawings(), len(self.drawn_labels), FEW - 1)

    def _drawings(self) -> Iterator[Image.Image]:
        for seed, label in enumerate(self.drawn_labels):
            yield draw_wound(seed, self.domain.label_ids[label])

    def _features(
        self, name: str, pictures: Iterable[Image.Image], count: int, augmentations: int
    ) -> FeatureSet:
        settings = self.settings
        return cached_features(
            settings.features(name),
            pictures,
            count,
            towers=settings.members,
            augmentations=min(augmentations, settings.augmentations),
            seed=settings.seed,
        )


@dataclass(frozen=True)
class Pupil:
    """One member in one part: the steps, each done once and then read from disk."""

    course: Course
    name: str
    part: int

    @property
    def folder(self) -> Path:
        """Where the checkpoint and its answers are kept."""
        settings = self.course.settings
        part = "all" if self.part == EVERYTHING else f"fold{self.part}of{settings.folds}"
        return settings.run / self.name / f"{part}-{settings.drawings}-drawings"

    @property
    def seed(self) -> int:
        return self.course.settings.seed * 100 + self.part + 1

    @cached_property
    def samples(self) -> finetune.Samples:
        """The photos of the part."""
        features, rows = self.course.photo_features(), self.course.inside(self.part)
        levels = self._levels(features.measured[rows])
        return finetune.Samples(features.maps[self.name][rows], self.course.labels[rows], levels)

    @cached_property
    def drawn(self) -> finetune.Samples:
        """The drawings, the same in every part."""
        features = self.course.drawing_features()
        levels = self._levels(features.measured)
        return finetune.Samples(features.maps[self.name], self.course.drawn_labels, levels)

    def _levels(self, measured: NDArray[np.float64]) -> NDArray[np.int64]:
        """Levels (n, v, 6), cut at the terciles of the part's photos as they are."""
        photos = self.course.photo_features().measured[self.course.inside(self.part), 0]
        borders = measure.thresholds(photos)
        return np.stack(
            [measure.levels(measured[:, one], borders) for one in range(measured.shape[1])], axis=1
        )

    def tower(self) -> finetune.TunedTower:
        """The tower, fine-tuned on the photos of the part."""
        settings = self.course.settings
        rows = self.course.inside(self.part)
        path = settings.tower_file(self.name, rows)
        if not path.exists():
            tuned = finetune.fine_tune(
                self.name,
                self.samples,
                len(self.course.domain.label_ids),
                settings.tower,
                self.seed,
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save({"top": tuned.top, "heads": tuned.heads}, path)
        return finetune.TunedTower(**torch.load(path, weights_only=True))

    @cached_property
    def soft(self) -> NDArray[np.float32]:
        """Label probabilities (photos, labels) of linear heads, out of fold within the part."""
        groups = self.course.groups[self.course.inside(self.part)]
        return self._soft(self._frozen(self.samples), self.samples.labels, groups)

    @cached_property
    def drawn_soft(self) -> NDArray[np.float32]:
        """The same for drawings, the photos of the part being further examples."""
        photos, drawn = self.samples, self.drawn
        frozen = np.concatenate([self._frozen(photos), self._frozen(drawn)])
        labels = np.concatenate([photos.labels, drawn.labels])
        return self._soft(frozen, labels, np.arange(len(labels)))[len(photos) :]

    def _soft(
        self, frozen: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        count = len(self.course.domain.label_ids)
        return finetune.soft_labels(frozen, labels, groups, count, self.seed)

    def _frozen(self, samples: finetune.Samples) -> NDArray[np.float32]:
        maps = finetune.top_maps(self.name, None, samples.maps[:, :FEW]).astype(np.float32)
        return np.asarray(maps.mean(axis=(2, 3)))

    def lessons(self) -> Lessons:
        """What stages 1 and 2 are learned from: photos and drawings in all their versions.

        Drawings have few versions, and theirs are repeated to make as many as the photos have.
        """
        parts, soft = [self.samples], [self.soft]
        if self.course.settings.drawings:
            parts.append(self.drawn)
            soft.append(self.drawn_soft)
        count = parts[0].maps.shape[1]
        order = [np.arange(count) % one.maps.shape[1] for one in parts]
        top = self.tower().top
        maps = [
            finetune.top_maps(self.name, top, one.maps[:, : max(which) + 1])[:, which]
            for one, which in zip(parts, order, strict=True)
        ]
        texts = [
            [row[at] for at in which]
            for one, chances, which in zip(parts, soft, order, strict=True)
            for row in self._texts(one, chances)
        ]
        labels = np.concatenate([one.labels for one in parts])
        return Lessons(np.concatenate(maps), texts, labels, np.concatenate(soft))

    def _texts(self, samples: finetune.Samples, soft: NDArray[np.float32]) -> list[list[Answer]]:
        """Composed answers, a row a picture and one for each version."""
        words, ids = self.course.words, self.course.domain.label_ids
        return [
            [
                wording.answer_fields(words, ids, int(label), levels, chances)
                for levels in versions.tolist()
            ]
            for label, versions, chances in zip(samples.labels, samples.levels, soft, strict=True)
        ]

    def drafts(self) -> list[Reflected]:
        """Answers as the linear heads give them out of fold, and the labels to end with.

        Answers that sound alike (same label, same doubt, same other label) end alike: with the
        other label where that was the truth more often, in at least four such answers, else with
        their own.
        """
        ids, words = self.course.domain.label_ids, self.course.words
        answers = [
            wording.answer_fields(words, ids, int(chances.argmax()), levels, chances)
            for levels, chances in zip(self.samples.levels[:, 0].tolist(), self.soft, strict=True)
        ]
        truths: dict[tuple[str, str, str], list[str]] = {}
        for answer, label in zip(answers, self.samples.labels, strict=True):
            sound = (answer.label, *wording.read_doubt(words, answer))
            truths.setdefault(sound, []).append(ids[label])
        return [Reflected(answer, _second_thought(words, answer, truths)) for answer in answers]

    def checkpoint(self) -> Path:
        """Folder of the member, trained unless it is there."""
        if not (self.folder / "done").exists():
            course, settings = self.course, self.course.settings
            tuned, lessons, drafts = self.tower(), self.lessons(), self.drafts()
            tokenizer, decoder = course.language()
            model = build_member(self.name, tuned.top, tokenizer, settings.shape, self.seed)
            model.model.language_model.load_state_dict(decoder)
            directions = [tuned.heads["labels.weight"], tuned.heads["attributes.weight"]]
            fixed = self.name in settings.fixed_projectors
            heads = torch.cat(directions).numpy()
            aim_projector(model, heads, self._tokens(lessons), fixed=fixed)
            tutor = Tutor(tokenizer, course.domain)
            train_decoder(
                model,
                tutor,
                lessons,
                drafts,
                settings.decoder,
                self.seed,
                fixed_projector=fixed,
            )
            save_member(model, make_processor(tokenizer), self.folder)
            (self.folder / "done").touch()
        return self.folder

    def _tokens(self, lessons: Lessons) -> NDArray[np.float32]:
        flat = lessons.maps.reshape(-1, lessons.maps.shape[-1])
        rng = np.random.default_rng(self.seed)
        chosen = rng.choice(len(flat), min(4000, len(flat)), replace=False)
        return flat[np.sort(chosen)].astype(np.float32)

    def out_of_fold(self) -> list[dict[str, Any]]:
        """What the checkpoint answers to the photos that it never saw, through the real backend.

        A row: index, description, reasoning, label, reflection, reflected, logprob, valid.
        """
        path = self.folder / "out-of-fold.json"
        if not path.exists():
            path.write_text(json.dumps(self._ask(self.checkpoint())), encoding="utf-8")
        return list(json.loads(path.read_text(encoding="utf-8")))

    def _ask(self, checkpoint: Path) -> list[dict[str, Any]]:
        domain = self.course.domain
        options = {**OPTIONS, "batch": 16, "threads": torch.get_num_threads()}
        backend = HuggingFaceBackend(MemberSpec(self.name, model=str(checkpoint), options=options))
        rows = self.course.outside(self.part).tolist()
        asked = [
            answer_request(domain, (self.course.photos[row].image(),), seed=0, deadline_s=3600)
            for row in rows
        ]
        replies = backend.generate(asked)
        found: list[dict[str, Any]] = []
        for row, request, reply in zip(rows, asked, replies, strict=True):
            trace, answer = read_answer(domain, request, reply)[1:]
            record = {"index": row, "logprob": reply.logprob, "valid": trace.valid}
            fields = {"description": "", "reasoning": "", "label": ""}
            if answer is not None:
                fields = {key: getattr(answer, key) for key in fields}
            found.append({**record, **fields, "reflected": "", "reflection": ""})
        self._ask_again(backend, found)
        return found

    def _ask_again(self, backend: HuggingFaceBackend, found: list[dict[str, Any]]) -> None:
        domain = self.course.domain
        valid = [one for one in found if one["valid"]]
        asked = [
            reflection_request(domain, stored_answer(one), seed=0, deadline_s=3600) for one in valid
        ]
        for one, request, reply in zip(valid, asked, backend.generate(asked), strict=True):
            trace = read_reflection(domain, request, reply)
            one["valid"] = trace.valid
            one["reflected"] = trace.fields.get("label", "")
            one["reflection"] = trace.fields.get("reflection", "")


def stored_answer(row: dict[str, Any]) -> Answer:
    """The Answer of a row of `out_of_fold`."""
    return Answer(row["description"], row["reasoning"], row["label"], repaired=False)


def _second_thought(
    words: Wording, answer: Answer, truths: Mapping[tuple[str, str, str], list[str]]
) -> str:
    sounds, other = wording.read_doubt(words, answer)
    found = truths[answer.label, sounds, other]
    change = len(found) >= 4 and found.count(other) > found.count(answer.label)
    return other if change and other != answer.label else answer.label
