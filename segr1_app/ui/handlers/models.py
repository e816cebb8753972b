"""Download of the full models by an admin: its size, start and progress.

Every method is also an API endpoint.
"""

from __future__ import annotations

from segr1_app.models.downloads import Download
from segr1_app.studio.contracts import DownloadProgress, DownloadSize


class DownloadHandlers:
    """Starts a download and reports its progress.

    Every method returns JSON values and raises `SegR1Error` with a message for the caller.
    """

    def __init__(self, download: Download) -> None:
        self._download = download

    def download_size(self) -> DownloadSize:
        """The size of the download of the full models.

        Returns:
            {"bytes": the number of bytes; 0 when everything is downloaded}.
        """
        return {"bytes": self._download.size()}

    def download_models(self) -> DownloadProgress:
        """Download the full models, or resume the download; the app switches to them as soon as they are complete.

        Returns:
            As `download_state`.
        """
        self._download.start()
        return self.download_state()

    def download_state(self) -> DownloadProgress:
        """The progress of the download.

        Returns:
            {"state": "idle", "running", "done" or "failed", "done", "total": bytes, "seconds", "trouble"}.
        """
        state = self._download.state
        return DownloadProgress(
            state=state.state, done=state.done, total=state.total, seconds=state.seconds, trouble=state.trouble
        )
