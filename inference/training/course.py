"""One member's way to a checkpoint, for one part of the pictures. Each step is kept on disk.

tower    the top of the vision tower is fine-tuned for all domains at once
answers  projector and decoder learn to say what the tower's heads know, and to reflect on it
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from inference.backends.huggingface import HuggingFaceBackend
from inference.backends.registry import MemberSpec
from inference.pipeline.parsing import Answer
from inference.pipeline.prompts import answer_prompt, reflection_prompt
from inference.pipeline.run import (
    answer_request,
    read_answer,
    read_reflection,
    reflection_request,
)
from inference.training import finetune, wording
from inference.training.albums import Album
from inference.training.decoder import Reflected, Syllabus, Tutor, train_decoder, train_language
from inference.training.finetune import Eye, State, TunedTower
from inference.training.lessons import Belief, draw_lessons, fit_temperature
from inference.training.member import aim_projector, build_member, follow, save_member
from inference.training.settings import EVERYTHING, OPTIONS, Settings
from inference.training.tokens import make_processor, train_tokenizer
from inference.training.towers import SPECS
from inference.training.wording import Changes

MADE_UP = 3000  # answers a domain that the decoder learns to write from
TOKENS = 4000  # visual tokens that the projector is aimed by

Row = dict[str, Any]


class Course:
    """The albums of all domains, and the language that all members share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.albums = tuple(Album(settings, domain_id) for domain_id, _ in settings.data)

    def album(self, domain_id: str) -> Album:
        """The album of a domain."""
        return next(one for one in self.albums if one.domain.id == domain_id)

    def prepare(self) -> None:
        """Compute what all steps share, once, before workers read it."""
        for album in self.albums:
            _ = album.fold_of
            album.gallery.measured()
            if album.drawings:
                album.drawn_gallery.measured()
        self.language()

    def tutors(self, tokenizer: PreTrainedTokenizerFast) -> list[Tutor]:
        """One a domain, in order."""
        return [Tutor(tokenizer, one.domain, at) for at, one in enumerate(self.albums)]

    def language(self) -> tuple[PreTrainedTokenizerFast, State]:
        """Tokenizer, and a decoder that knows how answers are written; the same for all members."""
        settings = self.settings
        folder = settings.run / "language"
        if not (folder / "decoder.pt").exists():
            drafts = [self.made_up(album, frozenset(), MADE_UP) for album in self.albums]
            labels = [label for one in self.albums for label in one.label_ids]
            tokenizer = train_tokenizer(self._corpus(drafts), labels, settings.vocabulary)
            model = build_member("lite0", None, tokenizer, settings.shape, settings.seed)
            pairs = list(zip(self.tutors(tokenizer), drafts, strict=True))
            train_language(model, pairs, settings.decoder, settings.seed)
            tokenizer.save_pretrained(folder)
            torch.save(model.model.language_model.state_dict(), folder / "decoder.pt")
        state = torch.load(folder / "decoder.pt", weights_only=True)
        return AutoTokenizer.from_pretrained(folder), state

    def made_up(self, album: Album, changes: Changes, count: int) -> list[Reflected]:
        """Answers about no picture, each with the label that a second thought ends with."""
        rng = np.random.default_rng(self.settings.seed)
        made = [wording.made_up_answer(album.words, album.label_ids, rng) for _ in range(count)]
        return [Reflected(one, wording.second_thought(album.words, one, changes)) for one in made]

    def _corpus(self, drafts: list[list[Reflected]]) -> list[str]:
        texts: list[str] = []
        for album, some in zip(self.albums, drafts, strict=True):
            few = some[:600]
            texts += [answer_prompt(album.domain)] * 40
            texts += [reflection_prompt(album.domain, one.answer) for one in few[:60]]
            texts += [wording.answer_text(one.answer) for one in few]
            for one in few:
                texts.append(wording.reflection_text(album.words, one.answer, one.label))
                other = wording.read_doubt(album.words, one.answer)[1]
                texts.append(wording.reflection_text(album.words, one.answer, other))
        return texts


@dataclass(frozen=True)
class Pupil:
    """One member in one part: the steps, each done once and then read from disk."""

    course: Course
    name: str
    part: int

    @property
    def folder(self) -> Path:
        """Where the checkpoint and its answers are kept."""
        return self.course.settings.run / self.name / self._part

    @property
    def _part(self) -> str:
        return "all" if self.part == EVERYTHING else f"fold{self.part}"

    @property
    def seed(self) -> int:
        """Another one for each tower and part, whoever else is trained."""
        return self.course.settings.seed * 1000 + 10 * list(SPECS).index(self.name) + self.part + 1

    @property
    def leader(self) -> "Pupil | None":
        """The first member in the same part, whose decoder the others start from."""
        first = self.course.settings.members[0]
        return None if self.name == first else Pupil(self.course, first, self.part)

    @cached_property
    def samples(self) -> list[list[finetune.Samples]]:
        """What the part learns from, a list a domain."""
        return [album.samples(self.name, self.part) for album in self.course.albums]

    def tower(self) -> TunedTower:
        """The tower, fine-tuned on the pictures of the part."""
        path = self.course.settings.towers / f"{self.name}-{self._part}.pt"
        if not path.exists():
            counts = [len(album.label_ids) for album in self.course.albums]
            settings = self.course.settings.tower
            tuned = finetune.fine_tune(self.name, self.samples, counts, settings, self.seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = {"top": tuned.top, "heads": tuned.heads, "held_out": self._held_out(tuned)}
            torch.save(kept, path)
        stored = torch.load(path, weights_only=True)
        return TunedTower(self.name, stored["top"], stored["heads"])

    def _held_out(self, tuned: TunedTower) -> list[torch.Tensor]:
        """Label log-probabilities (n, labels) of the pictures held out, a tensor a domain."""
        eye, found = Eye(tuned), []
        for at, album in enumerate(self.course.albums):
            rows = album.outside(self.part)
            if len(rows) == 0:
                found.append(torch.zeros(0, len(album.label_ids)))
                continue
            maps = album.gallery.maps(self.name)[rows, 0]
            found.append(eye.look(eye.tokens(maps), at)[0])
        return found

    def heads_out_of_fold(self, domain: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """What the heads of all members said of pictures that neither they nor this part saw.

        Returns log-probabilities (n, labels) and the true labels (n,); empty without folds.
        """
        settings, album = self.course.settings, self.course.albums[domain]
        said, truth = [np.zeros((0, len(album.label_ids)), np.float32)], [np.zeros(0, np.int64)]
        for fold in range(settings.folds):
            for name in settings.members:
                path = settings.towers / f"{name}-fold{fold}.pt"
                if fold != self.part and path.exists():
                    said.append(torch.load(path, weights_only=True)["held_out"][domain].numpy())
                    truth.append(album.labels[album.outside(fold)])
        return np.concatenate(said), np.concatenate(truth)

    def checkpoint(self) -> Path:
        """Folder of the member, trained unless it is there."""
        if not (self.folder / "done").exists():
            settings, tower = self.course.settings, self.tower()
            tokenizer, language = self.course.language()
            model = build_member(self.name, tower.top, tokenizer, settings.shape, self.seed)
            model.model.language_model.load_state_dict(language)
            syllabi = self._syllabi(tower, tokenizer)
            aim_projector(model, tower.directions(), self._tokens(syllabi))
            passes = settings.decoder.passes
            if self.leader:
                passes = settings.decoder.later
                follow(model, self.leader.checkpoint())
            train_decoder(model, syllabi, settings.decoder, self.seed, passes=passes)
            save_member(model, make_processor(tokenizer), self.folder)
            (self.folder / "done").touch()
        return self.folder

    def _syllabi(self, tower: TunedTower, tokenizer: PreTrainedTokenizerFast) -> list[Syllabus]:
        eye, settings, syllabi = Eye(tower), self.course.settings, []
        for at, tutor in enumerate(self.course.tutors(tokenizer)):
            album = self.course.albums[at]
            said, truth = self.heads_out_of_fold(at)
            belief = Belief(fit_temperature(said, truth), album.odds(settings.lessons.caution))
            lessons = draw_lessons(
                eye,
                at,
                self.samples[at],
                album.words,
                album.label_ids,
                belief,
                settings.lessons,
                self.seed,
            )
            normal = [label.normal for label in album.domain.labels]
            changes = wording.worthwhile_changes(
                album.label_ids, belief.chances(said), truth, normal
            )
            syllabi.append(Syllabus(tutor, lessons, self.course.made_up(album, changes, MADE_UP)))
        return syllabi

    def _tokens(self, syllabi: list[Syllabus]) -> NDArray[np.float32]:
        rng = np.random.default_rng(self.seed)
        found = []
        for one in syllabi:
            flat = one.lessons.maps.reshape(-1, one.lessons.maps.shape[-1])
            count = min(TOKENS // len(syllabi), len(flat))
            chosen = rng.choice(len(flat), count, replace=False)
            found.append(flat[np.sort(chosen)].astype(np.float32))
        return np.concatenate(found)

    def out_of_fold(self) -> dict[str, list[Row]]:
        """What the checkpoint answers to the pictures that it never saw, through the real backend.

        A domain -> rows: index, description, reasoning, label, reflection, reflected, logprob and
        valid.
        """
        path = self.folder / "out-of-fold.json"
        if not path.exists():
            path.write_text(json.dumps(self._ask_all()), encoding="utf-8")
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def _ask_all(self) -> dict[str, list[Row]]:
        options = {**OPTIONS, "threads": torch.get_num_threads()}
        spec = MemberSpec(self.name, model=str(self.checkpoint()), options=options)
        backend = HuggingFaceBackend(spec)
        return {one.domain.id: self._ask(backend, one) for one in self.course.albums}

    def _ask(self, backend: HuggingFaceBackend, album: Album) -> list[Row]:
        rows = album.outside(self.part).tolist()
        asked = [
            answer_request(album.domain, (album.pictures[row].image(),), seed=0, deadline_s=3600)
            for row in rows
        ]
        replies = backend.generate(asked)
        found: list[Row] = []
        for row, request, reply in zip(rows, asked, replies, strict=True):
            trace, answer = read_answer(album.domain, request, reply)[1:]
            record = {"index": row, "logprob": reply.logprob, "valid": trace.valid}
            fields = {"description": "", "reasoning": "", "label": ""}
            if answer is not None:
                fields = {key: getattr(answer, key) for key in fields}
            found.append({**record, **fields, "reflected": "", "reflection": ""})
        self._ask_again(backend, album, found)
        return found

    def _ask_again(self, backend: HuggingFaceBackend, album: Album, found: list[Row]) -> None:
        valid = [one for one in found if one["valid"]]
        asked = [
            reflection_request(album.domain, stored_answer(one), seed=0, deadline_s=3600)
            for one in valid
        ]
        for one, request, reply in zip(valid, asked, backend.generate(asked), strict=True):
            trace = read_reflection(album.domain, request, reply)
            one["valid"] = trace.valid
            one["reflected"] = trace.fields.get("label", "")
            one["reflection"] = trace.fields.get("reflection", "")


def stored_answer(row: Row) -> Answer:
    """The Answer of a row of `out_of_fold`."""
    return Answer(row["description"], row["reasoning"], row["label"], repaired=False)
