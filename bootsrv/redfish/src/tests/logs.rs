//! The newest entries of a log, wherever and however it is kept.

use crate::fake::{Fake, Shape};

#[tokio::test]
async fn the_newest_entries_of_every_shape_come_first() {
    for (shape, log) in [
        (Shape::Dmtf, "Log1"),
        (Shape::Hpe, "IML"),
        (Shape::Dell, "Sel"),
        (Shape::OpenBmc, "EventLog"),
    ] {
        let fake = Fake::start(shape).await.unwrap();
        let client = fake.client().unwrap();
        let entries = client.log_entries(3).await.unwrap();
        let messages: Vec<&str> =
            entries.iter().filter_map(|entry| entry.message.as_deref()).collect();
        assert_eq!(messages, ["entry 9", "entry 8", "entry 7"], "{shape:?}");
        assert_eq!(entries[0].log, log);
        assert_eq!(entries[0].severity.as_deref(), Some("OK"));
        assert_eq!(entries[0].created, Some("2026-11-21T10:09:00Z".parse().unwrap()));
        fake.state().log.truncate(1);
        assert_eq!(client.log_entries(3).await.unwrap().len(), 1, "{shape:?}");
        fake.state().log.clear();
        assert_eq!(client.log_entries(3).await.unwrap(), [], "{shape:?}");
    }
}

#[tokio::test]
async fn a_long_log_does_not_cost_a_request_for_each_entry() {
    for shape in [Shape::Hpe, Shape::OpenBmc] {
        let fake = Fake::start(shape).await.unwrap();
        let entry = |number: u32| {
            let created = format!("2026-11-22T{:02}:{:02}:00Z", number / 60, number % 60);
            [created, "Critical".to_owned(), format!("late {number}")]
        };
        fake.state().log.extend((0..500).map(entry));
        let client = fake.client().unwrap();
        let entries = client.log_entries(2).await.unwrap();
        assert_eq!(entries[0].message.as_deref(), Some("late 499"), "{shape:?}");
        assert_eq!(entries[1].message.as_deref(), Some("late 498"), "{shape:?}");
        assert!(fake.state().asked.len() < 20, "{shape:?}: {}", fake.state().asked.len());
    }
}
