"""Models: who serves each, in which order and with which share, and what is changed of it."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.asking import asked
from tests.browser.conftest import accessible, opened, pictured
from tests.browser.office import Office
from tests.docs.conftest import Demo

QUICK, OTHER, SPARE = "sim-n5-d1", "sim-n6-d1", "sim-n7-d1"


def served(office: Office, name: str) -> None:
    """A model with two deployments tried first, and one after them."""
    office.provider("b-lab")
    office.model(
        name,
        {"provider": "b-lab", "model": QUICK, "weight": 30},
        {"provider": "b-lab", "model": OTHER},
        {"provider": "b-lab", "model": SPARE, "priority": 2},
    )


def deployments(office: Office, model: str) -> dict[str, tuple[int, int]]:
    """Priority and weight of each, by its name there."""
    found = office("GET", f"/admin/deployments?model={model}")["data"]
    return {one["model"]: (one["priority"], one["weight"]) for one in found}


def tier(page: Page, priority: int) -> Locator:
    return page.get_by_role("region", name=f"Priority {priority}", exact=True)


def test_a_model_is_added_and_its_faults_are_shown_by_field(page: Page, office: Office) -> None:
    office.provider("b-lab")
    page.goto("/dashboard/models")
    page.get_by_role("button", name="Add model").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("demo")
    dialog.get_by_label("Provider").select_option("b-lab")
    dialog.get_by_role("button", name="Add model").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    accessible(page)
    dialog.get_by_label("Name", exact=True).fill("b-team/new model")
    dialog.get_by_label("Its name there").fill(QUICK)
    dialog.get_by_role("button", name="Add model").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("b-team/new model")
    expect(page).to_have_url(re.compile(r"/models/b-team/new%20model"))
    expect(tier(page, 1).get_by_text(QUICK)).to_be_visible()


def test_the_list_shows_how_each_is(page: Page, office: Office) -> None:
    served(office, "b-list")
    office.model("b-nobody")
    page.goto("/dashboard/models?q=b-")
    row = page.get_by_role("row").filter(has_text="b-list")
    expect(row.get_by_text("healthy")).to_be_visible()
    expect(row.get_by_role("cell").nth(2)).to_have_text("3")
    expect(page.get_by_role("row").filter(has_text="b-nobody")).to_contain_text("not in use")
    row.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("b-list")


def test_order_and_weights_are_changed_by_keyboard_and_saved_together(
    page: Page, office: Office, demo: Demo
) -> None:
    served(office, "b-order")
    office("PATCH", "/admin/models/b-order", {"strategy": "weighted_round_robin"})
    asked(demo, "b-order", 12)
    page.goto("/dashboard/models/b-order")
    expect(tier(page, 2).get_by_text(SPARE)).to_be_visible()
    expect(tier(page, 1).get_by_text("weight gives 75 %")).to_be_visible()
    pictured(page, "dashboard-model")

    page.get_by_role("button", name=f"Move b-lab {SPARE} up").press("Enter")
    page.get_by_role("button", name=f"Move b-lab {OTHER} down").press("Enter")
    page.get_by_label(f"Weight of b-lab {SPARE}").fill("10")
    page.get_by_label(f"Weight of b-lab {QUICK}").fill("90")
    expect(page.get_by_text("3 not saved")).to_be_visible()
    expect(tier(page, 1).get_by_text("weight gives 90 %")).to_be_visible()
    accessible(page)
    assert deployments(office, "b-order")[QUICK] == (1, 30)
    page.get_by_role("button", name="Save order and weights").click()

    expect(page.get_by_text("Order and weights are saved.")).to_be_visible()
    assert deployments(office, "b-order") == {QUICK: (1, 90), OTHER: (2, 10), SPARE: (1, 10)}
    page.get_by_role("button", name="Undo").click()
    expect(tier(page, 2).get_by_text(SPARE)).to_be_visible()
    assert deployments(office, "b-order") == {QUICK: (1, 30), OTHER: (1, 10), SPARE: (2, 10)}


def test_a_deployment_is_dragged_to_another_tier(page: Page, office: Office) -> None:
    served(office, "b-drag")
    page.goto("/dashboard/models/b-drag")
    dragged = tier(page, 1).get_by_role("listitem").filter(has_text=OTHER)
    dragged.drag_to(tier(page, 2), source_position={"x": 12, "y": 12})

    expect(tier(page, 2).get_by_text(OTHER)).to_be_visible()
    expect(page.get_by_text("1 not saved")).to_be_visible()
    page.get_by_role("button", name="Throw away").click()
    expect(tier(page, 1).get_by_text(OTHER)).to_be_visible()
    assert deployments(office, "b-drag")[OTHER] == (1, 10)


def test_an_order_that_somebody_else_changed_is_not_overwritten(page: Page, office: Office) -> None:
    served(office, "b-race")
    page.goto("/dashboard/models/b-race")
    page.get_by_label(f"Weight of b-lab {QUICK}").fill("99")
    one = office("GET", "/admin/deployments?model=b-race")["data"][0]
    office("PATCH", f"/admin/deployments/{one['id']}", {"weight": 55})
    expect(page.get_by_text("1 not saved")).to_be_visible()
    page.get_by_role("button", name="Save order and weights").click()
    expect(page.get_by_text("Somebody changed this meanwhile")).to_be_visible()
    page.get_by_role("button", name="Load it anew").click()

    expect(page.get_by_label(f"Weight of b-lab {QUICK}")).to_have_value("55")
    assert deployments(office, "b-race")[QUICK] == (1, 55)


def test_a_model_is_changed(page: Page, office: Office) -> None:
    served(office, "b-change")
    office.model("b-other", {"provider": "b-lab", "model": QUICK})
    page.goto("/dashboard/models/b-change")
    page.locator(".head").get_by_role("button", name="Change").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Further names").fill("b-alias")
    dialog.get_by_label("Strategy").select_option("ttft")
    dialog.get_by_label("Fallbacks").fill("nobody")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("Fallbacks")).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Fallbacks").fill("b-other")
    dialog.locator("summary").click()
    dialog.get_by_label("Further fields").fill('{"hedge": {"enabled": true}')
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("The further fields are no JSON object.")).to_be_visible()
    dialog.get_by_label("Further fields").fill('{"hedge": {"enabled": true}}')
    dialog.get_by_role("button", name="Save").click()

    expect(page.get_by_text("b-alias", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="b-other")).to_be_visible()
    made: Any = office("GET", "/admin/models/b-change")
    assert (made["strategy"], made["fallbacks"], made["hedge"]) == (
        "ttft",
        ["b-other"],
        {"enabled": True},
    )


def test_deployments_are_added_changed_switched_and_deleted(page: Page, office: Office) -> None:
    served(office, "b-deploy")
    page.goto("/dashboard/models/b-deploy")
    page.get_by_role("button", name="Add a deployment").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Provider").select_option("b-lab")
    dialog.get_by_label("Its name there").fill("sim-n8-d1")
    dialog.get_by_label("Priority").fill("3")
    dialog.get_by_role("button", name="Add deployment").click()
    expect(tier(page, 3).get_by_text("sim-n8-d1")).to_be_visible()

    page.get_by_role("button", name="Change b-lab sim-n8-d1").click()
    dialog.get_by_label("Requests at once").fill("4")
    dialog.get_by_role("button", name="Save").click()
    expect(tier(page, 3).get_by_text("0 of 4")).to_be_visible()
    page.get_by_role("button", name="Disable b-lab sim-n8-d1").click()
    expect(tier(page, 3).get_by_text("disabled", exact=True)).to_be_visible()
    page.get_by_role("button", name="Delete b-lab sim-n8-d1").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(tier(page, 3)).to_have_count(0)

    page.locator(".head").get_by_role("button", name="Delete").click()
    expect(dialog.get_by_text("Its 3 deployments go with it.")).to_be_visible()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Models")


def test_one_of_many_models_is_tried_by_a_name_of_its_own(page: Page) -> None:
    page.goto("/dashboard/models/sim*")
    page.locator(".head").get_by_role("button", name="Test").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Model to ask for").fill("sim-503")
    dialog.get_by_role("button", name="Send").click()

    expect(dialog.get_by_text("it failed", exact=True)).to_be_visible()
    expect(dialog.get_by_text("It failed, and says so.")).to_be_visible()


def test_on_a_phone_in_the_dark(browser: Browser, demo: Demo, office: Office) -> None:
    served(office, "b-phone")
    size = {"width": 390, "height": 844}
    for page in opened(browser, f"http://{demo.admin}", viewport=size, color_scheme="dark"):
        page.goto("/dashboard/models/b-phone")
        expect(tier(page, 2).get_by_text(SPARE)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        accessible(page)
