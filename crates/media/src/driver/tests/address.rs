use super::super::address::{Interface, Plan, interfaces, plan};
use super::super::{DriverConfig, DriverError};
use super::*;

fn interface(address: &str) -> Interface {
    let address: IpAddr = address.parse().unwrap();
    Interface {
        address,
        loopback: address.is_loopback(),
    }
}

/// The plan as `bound→shown` pairs and what is advertised.
fn planned(
    listen: &[&str],
    advertise: &[&str],
    here: &[&str],
) -> Result<(Vec<String>, Vec<String>), DriverError> {
    let parse = |all: &[&str]| all.iter().map(|a| a.parse().unwrap()).collect();
    let config = DriverConfig {
        listen: parse(listen),
        advertise: parse(advertise),
        ..DriverConfig::default()
    };
    let here: Vec<_> = here.iter().map(|a| interface(a)).collect();
    let Plan { bound, advertised } = plan(&config, &here)?;
    let bound = bound
        .iter()
        .map(|b| format!("{}→{}", b.bind, b.shown))
        .collect();
    Ok((bound, advertised.iter().map(ToString::to_string).collect()))
}

const HOST: &[&str] = &[
    "127.0.0.1",
    "192.168.1.5",
    "169.254.3.4",
    "::1",
    "fe80::1",
    "2001:db8::5",
];

#[test]
fn a_wildcard_is_every_address_that_others_can_reach() {
    let (bound, advertised) = planned(&["0.0.0.0", "::"], &[], HOST).unwrap();
    assert_eq!(
        bound,
        ["192.168.1.5→192.168.1.5", "2001:db8::5→2001:db8::5"]
    );
    assert_eq!(advertised, ["192.168.1.5", "2001:db8::5"]);
    assert_eq!(planned(&["0.0.0.0"], &[], HOST).unwrap().1, ["192.168.1.5"]);
}

#[test]
fn loopback_is_used_when_asked_for_or_when_there_is_nothing_else() {
    assert_eq!(planned(&["127.0.0.1"], &[], HOST).unwrap().1, ["127.0.0.1"]);
    assert_eq!(
        planned(&["0.0.0.0"], &[], &["127.0.0.1", "::1"]).unwrap().1,
        ["127.0.0.1"]
    );
    assert!(matches!(
        planned(&["0.0.0.0"], &[], &["::1"]),
        Err(DriverError::NoAddress)
    ));
    assert!(matches!(
        planned(&[], &[], HOST),
        Err(DriverError::NoAddress)
    ));
}

#[test]
fn an_advertised_address_stands_for_the_socket_behind_it() {
    let (bound, advertised) = planned(&["0.0.0.0"], &["203.0.113.9"], HOST).unwrap();
    assert_eq!(
        (bound, advertised),
        (
            vec!["192.168.1.5→203.0.113.9".to_owned()],
            vec!["203.0.113.9".to_owned()]
        )
    );
    // Inside and outside both: the socket's own address stays its own.
    let both = planned(&["0.0.0.0"], &["203.0.113.9", "192.168.1.5"], HOST).unwrap();
    assert_eq!(both.0, ["192.168.1.5→192.168.1.5"]);
    assert_eq!(both.1, ["203.0.113.9", "192.168.1.5"]);
    // One of this host that the wildcard leaves out.
    let loopback = planned(&["0.0.0.0"], &["127.0.0.1"], HOST).unwrap();
    assert_eq!(loopback.0, ["127.0.0.1→127.0.0.1"]);
}

#[test]
fn an_advertised_address_needs_a_socket_of_its_family() {
    let error = planned(&["0.0.0.0"], &["2001:db8::9"], HOST).unwrap_err();
    assert!(
        matches!(error, DriverError::AdvertisedUnheard(_)),
        "{error}"
    );
}

#[test]
fn a_host_with_hundreds_of_addresses_advertises_few() {
    let many: Vec<String> = (0..200).map(|n| format!("10.0.0.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(planned(&["0.0.0.0"], &[], &many).unwrap().0.len(), 16);
}

#[test]
fn this_host_has_a_loopback_interface() {
    assert!(
        interfaces()
            .unwrap()
            .iter()
            .any(|i| i.loopback && i.address.is_loopback())
    );
}

#[test]
fn candidates_of_both_protocols_carry_the_bound_ports() {
    let driver = start(&config(1));
    let [udp, tcp] = driver.candidates() else {
        panic!("{:?}", driver.candidates())
    };
    assert_eq!((udp.protocol, tcp.protocol), (Protocol::Udp, Protocol::Tcp));
    assert!(udp.address.port() != 0 && tcp.address.port() != 0);
    driver.stop(PATIENCE).unwrap();
    let without = start(&DriverConfig {
        tcp_port: None,
        ..config(1)
    });
    assert_eq!(without.candidates().len(), 1);
    without.stop(PATIENCE).unwrap();
}
