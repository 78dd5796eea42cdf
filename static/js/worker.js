// The service worker: shows what is pushed, and opens the case that it is about. It keeps no page:
// a photo must not lie about on a phone.

self.addEventListener("push", (event) => {
  const { title, text, tag, url, quiet } = event.data.json();
  const shown = { body: text, tag, data: { url }, renotify: !quiet, silent: quiet, icon: "/static/icon-192.png" };
  event.waitUntil(self.registration.showNotification(title, shown));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data.url));
});

async function open(url) {
  const pages = await self.clients.matchAll({ type: "window" });
  const page = pages.find((one) => "navigate" in one);
  if (!page) return self.clients.openWindow(url);
  await page.navigate(url);
  return page.focus();
}
