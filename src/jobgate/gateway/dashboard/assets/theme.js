// Sets the chosen theme before the first paint; a module would come too late and flash.
(() => {
  const chosen = localStorage.getItem("jobgate-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
