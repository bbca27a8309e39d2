//! Power and energy readings.

use crate::fake::{Fake, Shape};
use crate::{Meter, PowerReading};

#[tokio::test]
async fn every_shape_has_its_meter_and_it_is_found_once() {
    for (shape, meter) in [
        (Shape::Dmtf, Meter::EnvironmentMetrics),
        (Shape::Hpe, Meter::PowerControl),
        (Shape::Dell, Meter::PowerControl),
        (Shape::OpenBmc, Meter::Sensor),
    ] {
        let fake = Fake::start(shape).await.unwrap();
        let client = fake.client().unwrap();
        for watts in [12.0, 374.5] {
            fake.state().watts = Some(watts);
            let reading = client.power_reading().await.unwrap();
            assert_eq!(reading, Some(PowerReading { watts, meter }), "{shape:?}");
        }
        let before = fake.state().asked.len();
        client.power_reading().await.unwrap();
        assert_eq!(fake.state().asked.len() - before, 1, "{shape:?}");
    }
}

#[tokio::test]
async fn no_reading_is_none_and_comes_back() {
    for shape in [Shape::Dmtf, Shape::Hpe, Shape::Dell, Shape::OpenBmc] {
        let fake = Fake::start(shape).await.unwrap();
        fake.state().watts = None;
        fake.state().joules = None;
        let client = fake.client().unwrap();
        assert_eq!(client.power_reading().await.unwrap(), None, "{shape:?}");
        fake.state().watts = Some(99.0);
        let reading = client.power_reading().await.unwrap();
        assert_eq!(reading.map(|reading| reading.watts), Some(99.0), "{shape:?}");
    }
}

#[tokio::test]
async fn the_meter_of_a_shared_chassis_is_not_the_systems() {
    for shape in [Shape::Dmtf, Shape::Hpe, Shape::Dell, Shape::OpenBmc] {
        let fake = Fake::start(shape).await.unwrap();
        fake.state().has_shared_chassis = true;
        let client = fake.client().unwrap();
        assert_eq!(client.power_reading().await.unwrap(), None, "{shape:?}");
        assert_eq!(client.energy_reading().await.unwrap(), None, "{shape:?}");
        let before = fake.state().asked.len();
        assert_eq!(client.power_reading().await.unwrap(), None);
        assert_eq!(fake.state().asked.len(), before, "it is not looked for again at once");
    }
}

#[tokio::test]
async fn energy_is_read_where_there_is_some() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let reading = fake.client().unwrap().energy_reading().await.unwrap().unwrap();
    assert_eq!(reading.joules, Some(7.2e6));
    assert_eq!(reading.lifetime_joules, Some(3.6e8));
    assert_eq!(reading.reset_at, Some("2026-11-01T00:00:00Z".parse().unwrap()));
    for shape in [Shape::Hpe, Shape::Dell, Shape::OpenBmc] {
        let fake = Fake::start(shape).await.unwrap();
        assert_eq!(fake.client().unwrap().energy_reading().await.unwrap(), None, "{shape:?}");
    }
}
