"""The sizes in which the page is tried, and its tabs in each."""

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
CLICK_TAB = """name => {
    const seen = [...document.querySelectorAll("[role=tab], .overflow-dropdown button")]
        .filter(tab => tab.checkVisibility({visibilityProperty: true}))
        .find(tab => tab.textContent.trim() === name);
    if (!seen) document.querySelector("[aria-label='More tabs']")?.click();
    seen?.click();
    return Boolean(seen);
}"""  # tabs that have no room are behind a button


def show_tab(page, name):
    page.wait_for_function(CLICK_TAB, arg=name, polling=200)
