// Has allauth's scripts ask for a passkey, and says in words what they tell the console alone.

const button = document.getElementById("passkey");
if (button) {
  const ids = { [button.dataset.as]: "passkey", credential: "credential", data: "passkey-data" };
  window.allauth.webauthn.forms[button.dataset.call]({ ids });
}
document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  document.getElementById("passkey-failed").hidden = false;
});
