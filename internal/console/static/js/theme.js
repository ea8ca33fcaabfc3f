// Runs before the first paint, so that the page never flashes in the other theme.
(() => {
  try {
    const theme = localStorage.getItem("tapway.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch { /* storage may be forbidden: then the system decides */ }
})();
