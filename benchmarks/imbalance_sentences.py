"""What is said of the comparison of treatments, made from its numbers."""

from collections.abc import Sequence

from benchmarks.imbalance_rows import title
from benchmarks.imbalance_statistics import MEASURES, Line, Treatments
from training.arguments import parse_arguments
from training.evaluation.bootstrap import holm, measure_title
from training.treatments.register import BASELINE


def line_title(line: Line) -> str:
    """ "oversampling", under the prior that it learned, or "oversampling under `train`"."""
    name = title(line.treatment).removesuffix(" (baseline)")
    if line.own:
        return name
    return f"{name} under {line.prior if ' ' in line.prior else f'`{line.prior}`'}"


def conclusions(treatments: Treatments, again: Sequence[Treatments]) -> list[str]:
    """Sentences made from the numbers."""
    if len(treatments.runs) == 1:
        return []
    sentences = [best_sentence(treatments, measure) for measure in MEASURES]
    return [*sentences, curve_sentence(treatments, again), *again_sentences(treatments, again)]


def best_sentence(treatments: Treatments, measure: str) -> str:
    """Which treatment is highest in a measure, by how much, and what it costs."""
    best, comparison = treatments.best(measure), treatments.comparison
    text = f"- **{_capital(measure_title(measure))}**: highest with {line_title(best)}, "
    text += comparison.change(best, measure)
    if (best, measure) not in comparison.confirmed:
        p = comparison.differences[best, measure].p
        text += f" (p = {p:.2g}, not confirmed)"
    text += f"; {price(treatments, best, measure)}."
    untrained = treatments.best(measure, trained=False)
    if comparison.differences[untrained, measure].value > 0:
        text += f" Without another training, {line_title(untrained)}: "
        text += f"{comparison.change(untrained, measure)}; {price(treatments, untrained, measure)}."
    return text


def highest_sentence(treatments: Treatments, again: Sequence[Treatments]) -> str:
    """All of `best_sentence` in one, without what it costs, and what all seeds together say."""
    parts = []
    for measure in MEASURES if len(treatments.runs) > 1 else ():
        best, comparison = treatments.best(measure), treatments.comparison
        value = f"{comparison.differences[best, measure].value:+.3f}"
        confirmed = (best, measure) in comparison.confirmed
        notes = [f"**{value}**"] if confirmed else [value, "not confirmed"]
        if again and best in again[1].lines:
            every = again[1].comparison.change(best, measure)
            notes.append(f"with all {len(again[1].seeds)} seeds {every}")
        parts.append(f"in {measure_title(measure)} {line_title(best)} ({', '.join(notes)})")
    return f"- **Highest, of the trainings**: {'; '.join(parts)}." if parts else ""


def price(treatments: Treatments, line: Line, measure: str) -> str:
    return ", ".join(
        f"{measure_title(other)} {treatments.comparison.change(line, other)}"
        for other in ("accuracy", "macro_f1")
        if other != measure
    )


def curve_sentence(treatments: Treatments, again: Sequence[Treatments]) -> str:
    """What lies above the shifted baseline, and so is worth a training."""
    above = treatments.above
    real = [
        f"{_of(key)} {above[key].signed}"
        for key in above
        if key in treatments.above_by_more_than_chance and above[key].value > 0
    ]
    found = "; ".join(real) or "none"
    higher = [key for key in above if above[key].value > 0]
    if higher and not real:
        nearest = min(higher, key=lambda key: above[key].p)
        found += f"; the nearest is {_of(nearest)}, {above[nearest].signed}"
        if again and nearest in again[0].above:
            lead = again[0].above[nearest]
            holds = "holds" if lead.value > 0 and holm({nearest: lead.p}) else "does not hold"
            found += (
                f"; with seeds {seed_list(again[0].seeds)} alone, on the same images, it {holds}: "
                f"{lead.signed}"
            )
    return (
        "- **Worth a training?** Above what shifting the prior of the cross-entropy network "
        f"reaches at the same accuracy, after Holm's correction over all: {found}."
    )


def _of(key: tuple[Line, str]) -> str:
    line, measure = key
    return f"{measure_title(measure)} with {line_title(line)}"


def again_sentences(treatments: Treatments, again: Sequence[Treatments]) -> list[str]:
    """Whether what was highest holds with later seeds, where a row has them."""
    if not again:
        return []
    later, every = again
    highest = {measure: treatments.best(measure) for measure in MEASURES}
    claims = {(line, measure) for measure, line in highest.items() if line in later.lines}
    confirmed = holm({claim: later.comparison.differences[claim].p for claim in claims})
    parts = []
    for measure, line in highest.items():
        if (line, measure) not in claims:
            continue
        change = later.comparison.differences[line, measure]
        verdict = "no" if change.value <= 0 else "in the mean, within chance"
        if change.value > 0 and (line, measure) in confirmed:
            verdict = "yes"
        of_all = every.comparison.differences[line, measure].signed
        parts.append(
            f"{measure_title(measure)} with {line_title(line)}, {change.signed}: {verdict} (all "
            f"{len(every.seeds)} seeds: {of_all})"
        )
    text = "; ".join(parts) or "no row that is highest has them"
    return [
        f"- **Does it hold with seeds {seed_list(later.seeds)} alone?** On the same images, after "
        f"Holm's correction over these: {text}."
    ]


def text_of_the_space(treatments: Treatments) -> str:
    above = [
        line_title(line)
        for (line, measure), lead in treatments.above.items()
        if measure == "balanced_accuracy" and lead.value > 0
        if (line, measure) in treatments.above_by_more_than_chance
    ]
    backbone = parse_arguments("", treatments.runs[BASELINE][0]["arguments"]).model.backbone
    network = backbone.removeprefix("tf_").replace("efficientnet_lite", "EfficientNet-Lite")
    return (
        f"{network}, another network than this model, on FER-2013's validation split: "
        f"cross-entropy and {len(treatments.runs) - 1} treatments. Higher: right more often. "
        "Further right: rare classes count as much as common ones. The line needs no training: "
        "cross-entropy, more and more as if all classes were equally common. Above it by more "
        f"than chance: {', '.join(above) or 'no treatment'}."
    )


def seed_list(seeds: Sequence[int]) -> str:
    """ "0 to 3", or "0, 2"."""
    whole = list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]} to {seeds[-1]}" if whole and len(seeds) > 2 else ", ".join(map(str, seeds))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
