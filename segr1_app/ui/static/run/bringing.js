import { replacing } from "./corrections.js";

/**
 * A picture that is dropped or pasted anywhere on the Run tab becomes its picture. Elsewhere a file that is dropped
* next to a field for files does nothing, where the browser would leave the page to show it.
 * @param {(path: string) => void} take gets where the server keeps the picture
 * @param {(text: string) => void} tell shows what goes wrong
 */
export function bringPictures(take, tell) {
  const bring = (/** @type {File} */ file) => replacing(async () => {
    tell(`Uploading ${file.name} …`);
    const path = await upload(file);
    tell(path ? "" : `${file.name} could not be uploaded: it is too large, or the server did not answer.`);
    if (path) take(path);
  });
  document.addEventListener("dragover", (event) => {
    if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = isShown() ? "copy" : "none";
  });
  document.addEventListener("drop", (event) => {
    if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (isShown() && event.dataTransfer.files.length) bring(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (event.defaultPrevented || !file || !isShown()) return;
    event.preventDefault();
    bring(file);
  });
}

/** Whether the Run tab is selected, with no question open over it. */
function isShown() {
  return Boolean(document.querySelector("#workbench")?.checkVisibility()) && !document.querySelector("dialog[open]");
}

/**
 * @param {File} file
 * @returns {Promise<string | null>} its path on the server
 */
async function upload(file) {
  const body = new FormData();
  body.append("files", file);
  try {
    const reply = await fetch(new URL("gradio_api/upload", document.baseURI), { method: "POST", body });
    return reply.ok ? (await reply.json())[0] : null;
  } catch (error) {
    console.warn(error);
    return null;
  }
}
