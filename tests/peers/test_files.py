"""Files we write, read by libraries of others."""

import io
from datetime import datetime, timezone

import icalendar
import webvtt


def test_webvtt_reads_our_captions(meeting):
    host, meeting_id = meeting
    answer = host.http.get(f"/api/meetings/{meeting_id}/transcript", params={"format": "vtt"})
    assert answer.headers["content-type"].startswith("text/vtt")
    captions = list(webvtt.from_buffer(io.StringIO(answer.text)))
    assert [caption.voice for caption in captions] == ["Anna", "Ben"]
    assert captions[1].start == "00:00:04.200"
    assert "&" in captions[0].text


def test_webvtt_reads_our_srt(meeting):
    host, meeting_id = meeting
    answer = host.http.get(f"/api/meetings/{meeting_id}/transcript", params={"format": "srt"})
    captions = list(webvtt.from_buffer(io.StringIO(answer.text), format="srt"))
    assert len(captions) == 2


def test_icalendar_reads_our_invitation(meeting):
    host, meeting_id = meeting
    answer = host.http.get(f"/api/meetings/{meeting_id}/ics")
    assert answer.headers["content-type"].startswith("text/calendar")
    events = list(icalendar.Calendar.from_ical(answer.content).walk("VEVENT"))
    assert len(events) == 1
    assert str(events[0]["SUMMARY"]) == "Weekly"
    assert events[0]["DTSTART"].dt.astimezone(timezone.utc) == datetime(2026, 3, 2, 9, tzinfo=timezone.utc)
