"""One plain sentence for every result that a newcomer would not expect.

Each rule looks at what was asked, achieved and measured, and either has something to say or not.
"""

from collections.abc import Sequence

from explorer.render import insights_numbers, insights_original, insights_plan
from explorer.render.insight_rules import RULES, Case, Insight
from explorer.runs import View

SUBJECTS = (insights_original, insights_plan, insights_numbers)  # in this order


def insights(view: View, reading: str | None = None, classes: Sequence[str] = ()) -> list[Insight]:
    """What is unexpected about one run; nothing before it is planned.

    `reading` is the title under which one can see how the samples were read, where they are a
    person's own, and `classes` names the labels.
    """
    run = view.run
    if run is None or run.plan is None:
        return []
    case = Case(
        recipe=run.recipe,
        layers=run.layers,
        original=view.original,
        profile=view.profile,
        latency=view.latency,
        quality=view.quality,
        unreconstructed=run.unreconstructed if run.recipe.compensate else view.quality,
        reading=reading,
        classes=classes,
    )
    rules = [rule for subject in SUBJECTS for rule in RULES[subject.__name__]]
    found = [each for rule in rules for each in rule(case)]
    return [Insight(each) if isinstance(each, str) else each for each in found]
