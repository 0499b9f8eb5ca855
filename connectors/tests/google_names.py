"""A server with the XML interface of Google's object store, as far as Tidegate uses it: moto, whose S3 it resembles.

    python google_names.py PORT

Requests, answers and XML documents are those of S3 but for the headers that are translated here: preconditions, versions and copies.
"""

import sys
import urllib.parse

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


def google_names(server):
    def answer(request, start):
        if request.get("HTTP_AUTHORIZATION", "").split(" ")[0] != "Bearer":
            start("401 Unauthorized", [("Content-Length", "0")])
            return []
        request["HTTP_AUTHORIZATION"] = SIGNED
        # Google's client escapes all of a name, `/` and `-` too; moto knows the usual escapes only.
        path, question, query = request["RAW_URI"].partition("?")
        path = urllib.parse.quote(urllib.parse.unquote(path), safe="/-_.~")
        request["RAW_URI"] = request["REQUEST_URI"] = path + question + query
        # Generation 0 is that of an object that is not there.
        generation = request.pop("HTTP_X_GOOG_IF_GENERATION_MATCH", None)
        if generation == "0":
            request["HTTP_IF_NONE_MATCH"] = "*"
        elif generation is not None:
            start("501 Not Implemented", [("Content-Length", "0")])
            return []
        if "HTTP_X_GOOG_COPY_SOURCE" in request:
            request["HTTP_X_AMZ_COPY_SOURCE"] = request.pop("HTTP_X_GOOG_COPY_SOURCE")
        return server(request, start)

    return answer


if __name__ == "__main__":
    application = google_names(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True)
