//! The writers alone.

use proptest::prelude::*;

use super::parse::{ogg, webm};
use crate::audio::opus::{Layout, packet_facts};
use crate::audio::tests::tone_packets;
use crate::record::bitstream::PictureSize;
use crate::record::ogg::{OggOptions, OggOpusWriter, Written};
use crate::record::webm::{Patch, WebmOptions, WebmTrack, WebmVideoCodec, WebmWriter};

fn options() -> OggOptions {
    let comments = vec![("TITLE".to_owned(), "a meeting".to_owned())];
    OggOptions {
        layout: Layout::Mono,
        pre_skip: 312,
        serial: 9,
        comments,
    }
}

#[test]
fn an_ogg_file_holds_its_packets_untouched_and_ends() {
    let packets = tone_packets(120);
    let mut writer = OggOpusWriter::new(Vec::new(), &options()).unwrap();
    for (index, packet) in packets.iter().enumerate() {
        assert_eq!(
            writer.packet(index as u64 * 960, packet).unwrap(),
            Written::After(0)
        );
    }
    writer.finish().unwrap();
    let file = ogg(writer.sink(), false);
    assert!(file.ended);
    assert_eq!((file.channels, file.pre_skip), (1, 312));
    assert_eq!(file.packets.len(), 120);
    assert!(
        file.packets
            .iter()
            .zip(&packets)
            .all(|(one, other)| one[..] == other[..])
    );
    // Two header pages, two of a second each, the rest.
    assert_eq!(file.granules, [0, 0, 48_000, 96_000, 115_200]);
}

#[test]
fn gaps_are_filled_so_that_packets_keep_their_time() {
    let packets = tone_packets(2);
    let mut writer = OggOpusWriter::new(Vec::new(), &options()).unwrap();
    writer.packet(0, &packets[0]).unwrap();
    // 3 s and 5 ms later.
    let at = 3 * 48_000 + 240;
    let written = writer.packet(at, &packets[1]).unwrap();
    assert_eq!(written, Written::After(3 * 48_000 - 960));
    assert_eq!(writer.packet(960, &packets[0]).unwrap(), Written::LeftOut);
    writer.finish().unwrap();
    let file = ogg(writer.sink(), false);
    let before: u64 = file.packets[..file.packets.len() - 1]
        .iter()
        .map(|packet| packet_facts(packet).unwrap().samples as u64)
        .sum();
    assert!(at - before < 960, "{before} for {at}");
}

#[test]
fn a_truncated_ogg_file_keeps_all_but_its_last_second() {
    let mut writer = OggOpusWriter::new(Vec::new(), &options()).unwrap();
    for (index, packet) in tone_packets(500).iter().enumerate() {
        writer.packet(index as u64 * 960, packet).unwrap();
    }
    let bytes = writer.sink().clone();
    let file = ogg(&bytes[..bytes.len() - 100], true);
    assert!(file.packets.len() >= 400, "{}", file.packets.len());
}

fn webm_file() -> (Vec<u8>, Vec<Patch>) {
    let size = PictureSize {
        width: 640,
        height: 360,
    };
    let options = WebmOptions {
        video: Some((WebmVideoCodec::Vp8, size)),
        audio: Some((Layout::Mono, 312)),
    };
    let mut writer = WebmWriter::new(Vec::new(), &options).unwrap();
    for frame in 0..300_u64 {
        let key = frame % 100 == 0;
        let data = vec![frame as u8; 50 + frame as usize];
        writer
            .frame(WebmTrack::Video, frame * 33, 33, key, &data)
            .unwrap();
        writer
            .frame(WebmTrack::Audio, frame * 33, 20, true, &[0xf8, 0xff, 0xfe])
            .unwrap();
    }
    let patches = writer.finish().unwrap();
    (std::mem::take(writer.sink()), patches)
}

fn patched(mut bytes: Vec<u8>, patches: &[Patch]) -> Vec<u8> {
    for patch in patches {
        let at = patch.at as usize;
        bytes[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    bytes
}

#[test]
fn a_webm_file_holds_frames_times_index_and_duration() {
    let (bytes, patches) = webm_file();
    let plain = webm(&bytes, false);
    assert!(!plain.known_size && plain.duration_ms.is_none());
    let file = webm(&patched(bytes, &patches), false);
    assert_eq!(file.kind, "webm");
    assert_eq!(file.codecs, ["V_VP8", "A_OPUS"]);
    assert_eq!(file.size, Some((640, 360)));
    assert_eq!(file.blocks.len(), 600);
    let video: Vec<_> = file
        .blocks
        .iter()
        .filter(|block| block.track == 1)
        .collect();
    assert!(
        video
            .iter()
            .enumerate()
            .all(|(index, block)| block.at_ms == index as i64 * 33)
    );
    assert_eq!(video[299].data.len(), 349);
    assert_eq!(file.cues, [(0, true), (3_300, true), (6_600, true)]);
    assert_eq!(file.seeks, 3);
    assert_eq!(file.duration_ms, Some(9_900.0));
    assert!(file.known_size);
}

#[test]
fn a_truncated_webm_file_keeps_all_but_its_last_cluster() {
    let (bytes, _) = webm_file();
    let file = webm(&bytes[..bytes.len() - 2_000], true);
    assert!(file.blocks.len() > 400, "{}", file.blocks.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_ogg_file_is_well_formed_whatever_is_written(
        steps in proptest::collection::vec((0..30_000_u64, proptest::collection::vec(any::<u8>(), 0..700)), 0..60),
    ) {
        let mut writer = OggOpusWriter::new(Vec::new(), &options()).unwrap();
        let mut at = 0;
        for (step, packet) in steps {
            at += step;
            writer.packet(at, &packet).unwrap();
        }
        writer.finish().unwrap();
        prop_assert!(ogg(writer.sink(), false).ended);
    }
}
