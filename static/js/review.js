// The case page: the time that is left of the hold.

const SOON_S = 120;

function countDown() {
  const lease = document.getElementById("lease");
  if (!lease) return;
  const left = Math.round((new Date(lease.dataset.expires) - Date.now()) / 1000);
  const shown = Math.max(left, 0);
  const text = `${Math.floor(shown / 60)}:${String(shown % 60).padStart(2, "0")}`;
  lease.querySelector("[data-countdown]").textContent = text;
  lease.classList.toggle("soon", left < SOON_S && left > 0);
  lease.classList.toggle("over", left <= 0);
  const warning = lease.querySelector(".lease-warning");
  const sentence = left <= 0 ? warning.dataset.over : left < SOON_S ? warning.dataset.soon : "";
  if (warning.textContent !== sentence) warning.textContent = sentence;
}

countDown();
setInterval(countDown, 1000);
