//! The walk through the log, on controllers with gaps, pieces, wrong clocks and bad intentions.

use super::*;
use crate::fake::{Fake, Settings};
use std::time::Duration;

fn entry(id: u16, unix_s: u32) -> Vec<u8> {
    let mut record = vec![0; 2];
    record.extend(id.to_le_bytes());
    record.push(2);
    record.extend(unix_s.to_le_bytes());
    record.extend([0x20, 0, 4, 0x07, 0x10, 0x6F, 1, 0xFF, 0xFF]);
    record
}

/// What a controller gives whose log has `records`: id and time stamp, and which is `behind`.
fn log(
    records: Vec<(u16, u32)>,
    behind_s: u32,
) -> impl FnMut(u8, u8, &[u8]) -> Option<(u8, Vec<u8>)> + Send {
    move |_, command, data| match command {
        GET_INFO => Some((0, [&[0x51, 9, 0], &[0; 11][..]].concat())),
        GET_TIME => {
            let now = u32::try_from(unix_s(SystemTime::now())).unwrap();
            Some((0, (now - behind_s).to_le_bytes().to_vec()))
        }
        GET_ENTRY => {
            let id = u16::from_le_bytes([data[2], data[3]]);
            let found = match id {
                NEWEST => records.last(),
                id => records.iter().find(|record| record.0 == id),
            };
            let entry = found.map(|(id, time)| (0, entry(*id, *time)));
            Some(entry.unwrap_or((0xCB, Vec::new())))
        }
        _ => None,
    }
}

async fn events(
    answer: impl FnMut(u8, u8, &[u8]) -> Option<(u8, Vec<u8>)> + Send + 'static,
    since_ago_s: u64,
    events_max: usize,
) -> Result<Vec<u16>, IpmiError> {
    let fake = Fake::start(Settings::default()).await.unwrap();
    fake.answer_with(Box::new(answer));
    let mut client = fake.connect().await.unwrap();
    let since = SystemTime::now() - Duration::from_secs(since_ago_s);
    let events = client.newest_events(since, events_max).await?;
    Ok(events.iter().map(|event| event.record).collect())
}

fn ago(seconds: u32) -> u32 {
    u32::try_from(unix_s(SystemTime::now())).unwrap() - seconds
}

#[tokio::test]
async fn the_newest_come_first_and_old_ones_end_the_walk() {
    let records = vec![(1, ago(900)), (2, ago(300)), (3, ago(20)), (4, ago(10))];
    assert_eq!(events(log(records.clone(), 0), 60, 9).await.unwrap(), [4, 3]);
    assert_eq!(events(log(records.clone(), 0), 60, 1).await.unwrap(), [4]);
    assert_eq!(events(log(records.clone(), 0), 600, 9).await.unwrap(), [4, 3, 2]);
    assert_eq!(events(log(records.clone(), 0), 5, 9).await.unwrap(), []);
    // By a clock that is 290 seconds behind, "10 seconds ago" was 300 seconds ago.
    let behind = records.iter().map(|(id, time)| (*id, time - 290)).collect();
    assert_eq!(events(log(behind, 290), 60, 9).await.unwrap(), [4, 3]);
}

#[tokio::test]
async fn gaps_and_events_without_a_time_are_walked_over() {
    let records = vec![(16, ago(900)), (32, u32::MAX), (80, 17), (96, ago(10))];
    assert_eq!(events(log(records, 0), 60, 9).await.unwrap(), [96, 80, 32]);
    let far = vec![(1, ago(20)), (100, ago(10))];
    assert_eq!(events(log(far, 0), 60, 9).await.unwrap(), [100]);
    assert_eq!(events(log(Vec::new(), 0), 60, 9).await.unwrap(), []);
}

#[tokio::test]
async fn records_come_in_pieces_and_reservations_get_lost() {
    let (mut asked, mut reservation) = (0u16, 0u16);
    let time = ago(5);
    let answer = move |_: u8, command: u8, data: &[u8]| match command {
        GET_INFO => Some((0, [&[0x51, 2, 0], &[0; 11][..]].concat())),
        RESERVE => {
            reservation += 1;
            Some((0, reservation.to_le_bytes().to_vec()))
        }
        GET_ENTRY => {
            asked += 1;
            if asked.is_multiple_of(5) {
                reservation += 1;
            }
            let (offset, wanted) = (usize::from(data[4]), usize::from(data[5]));
            if wanted > 8 {
                return Some((0xCA, Vec::new()));
            }
            if offset > 0 && data[..2] != reservation.to_le_bytes() {
                return Some((0xC5, Vec::new()));
            }
            let id = u16::from_le_bytes([data[2], data[3]]).min(2);
            let whole = entry(id, time);
            // Never more than 7 bytes.
            let end = (2 + offset + wanted.min(7)).min(18);
            Some((0, [&[0, 0], &whole[2 + offset..end]].concat()))
        }
        _ => None,
    };
    assert_eq!(events(answer, 60, 9).await.unwrap(), [2, 1]);
}

#[tokio::test]
async fn a_hostile_log_ends_the_walk() {
    let now = ago(0);
    let info = |_: u8, command: u8| match command {
        GET_INFO => Some((0, [&[0x51, 9, 0], &[0; 11][..]].concat())),
        GET_TIME => Some((0xC1, Vec::new())),
        _ => None,
    };
    let same =
        move |net_fn, command, _: &[u8]| info(net_fn, command).or_else(|| Some((0, entry(7, now))));
    let error = events(same, 60, 64).await.unwrap_err();
    assert!(matches!(error, IpmiError::Malformed { .. }), "{error:?}");
    let endless = move |net_fn, command, data: &[u8]| {
        let id = || u16::from_le_bytes([data[2], data[3]]).min(60_000);
        info(net_fn, command).or_else(|| Some((0, entry(id(), now))))
    };
    assert_eq!(events(endless, 60, usize::MAX).await.unwrap().len(), EVENTS_MAX);
    let cancelled = move |net_fn, command, _: &[u8]| {
        let answer = if command == RESERVE { (0, vec![1, 0]) } else { (0xC5, vec![]) };
        info(net_fn, command).or(Some(answer))
    };
    let code = events(cancelled, 60, 9).await.unwrap_err().completion_code();
    assert_eq!(code, Some(CompletionCode::RESERVATION_CANCELLED));
    let empty =
        move |net_fn, command, _: &[u8]| info(net_fn, command).or_else(|| Some((0, vec![0, 0])));
    assert!(events(empty, 60, 9).await.is_err());
}
