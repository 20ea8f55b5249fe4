"""Prints what Alertmanager sends, a line for each alert: stands in for a pager or a ticket system."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer

LARGEST = 1 << 20


class Webhook(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > LARGEST:
            self.send_error(413)
            return
        for alert in json.loads(self.rfile.read(length)).get("alerts", []):
            labels, notes = alert.get("labels", {}), alert.get("annotations", {})
            print(self.path, alert.get("status"), labels.get("alertname"), notes.get("summary"), notes.get("runbook_url"))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


HTTPServer(("", 9099), Webhook).serve_forever()
