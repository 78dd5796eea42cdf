// Says in words what allauth's scripts tell the console alone.

document.addEventListener("allauth.error", () => {
  document.getElementById("passkey-failed").hidden = false;
});
