//! The form of an LLDP frame (IEEE 802.1AB): an Ethernet header, then type-length-value records until the end mark.

/// Most records of one frame that are kept (spec/introspection.md §4.6).
const TLVS_MAX: usize = 512;
/// Most bytes of records that are kept.
const BYTES_MAX: usize = 4096;
const ETHERTYPE: [u8; 2] = [0x88, 0xCC];
const VLAN_TAG: [u8; 2] = [0x81, 0x00];
const CHASSIS: u8 = 1;
const PORT: u8 = 2;
const TIME_TO_LIVE: u8 = 3;

/// What one frame said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// For how long it is valid, in seconds.
    pub lifetime: u16,
    /// Types and hexadecimal values in order, without the end mark.
    pub tlvs: Vec<(u8, String)>,
}

/// Parses a frame as it came from the wire; `None` if it is not LLDP or lacks one of the three mandatory records.
#[must_use]
pub fn parse(frame: &[u8]) -> Option<Neighbour> {
    let mut kind = frame.get(12..14)?;
    let mut rest = frame.get(14..)?;
    if kind == VLAN_TAG {
        kind = frame.get(16..18)?;
        rest = frame.get(18..)?;
    }
    if kind != ETHERTYPE {
        return None;
    }
    let (mut tlvs, mut lifetime, mut bytes) = (Vec::new(), None, 0);
    while let [high, low, tail @ ..] = rest {
        let (kind, len) = (high >> 1, usize::from(high & 1) << 8 | usize::from(*low));
        if kind == 0 || tlvs.len() == TLVS_MAX {
            break;
        }
        // A record that ends beyond the frame ends the reading; what came before is good.
        let Some(value) = tail.get(..len) else { break };
        bytes += len;
        if bytes > BYTES_MAX {
            break;
        }
        if kind == TIME_TO_LIVE {
            lifetime = value.get(..2).map(|ttl| u16::from_be_bytes([ttl[0], ttl[1]]));
        }
        tlvs.push((kind, hex::encode(value)));
        rest = &tail[len..];
    }
    let has = |wanted: u8| tlvs.iter().any(|(kind, _)| *kind == wanted);
    (has(CHASSIS) && has(PORT)).then_some(Neighbour { lifetime: lifetime?, tlvs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(tlvs: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 12];
        bytes.extend(ETHERTYPE);
        for (kind, value) in tlvs {
            bytes.extend([kind << 1 | (value.len() >> 8) as u8, value.len() as u8]);
            bytes.extend(*value);
        }
        bytes.extend([0, 0]);
        bytes
    }

    const MINIMUM: [(u8, &[u8]); 3] = [(1, &[4, 1, 2, 3, 4, 5, 6]), (2, &[5, b'e']), (3, &[0, 120])];

    #[test]
    fn a_usual_frame() {
        let neighbour = parse(&frame(&MINIMUM)).unwrap();
        assert_eq!(neighbour.lifetime, 120);
        assert_eq!(neighbour.tlvs[0], (1, "04010203040506".to_owned()));
        assert_eq!(neighbour.tlvs.len(), 3);
    }

    #[test]
    fn a_tagged_frame() {
        let plain = frame(&MINIMUM);
        let mut tagged = plain[..12].to_vec();
        tagged.extend([0x81, 0x00, 0x00, 0x00]);
        tagged.extend(&plain[12..]);
        assert_eq!(parse(&tagged), parse(&plain));
    }

    #[test]
    fn what_is_not_lldp_is_refused() {
        assert_eq!(parse(&frame(&MINIMUM[..2])), None, "no lifetime");
        assert_eq!(parse(&[0; 60]), None);
    }

    #[test]
    fn limits_hold() {
        let mut many: Vec<(u8, &[u8])> = MINIMUM.to_vec();
        many.extend(std::iter::repeat_n((127, &[][..]), 1000));
        assert_eq!(parse(&frame(&many)).unwrap().tlvs.len(), TLVS_MAX);
        let big = [0_u8; 500];
        let mut large: Vec<(u8, &[u8])> = MINIMUM.to_vec();
        large.extend(std::iter::repeat_n((127, &big[..]), 20));
        let kept: usize = parse(&frame(&large)).unwrap().tlvs.iter().map(|(_, value)| value.len() / 2).sum();
        assert!(kept <= BYTES_MAX);
    }

    proptest! {
        #[test]
        fn arbitrary_frames_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300), lldp in any::<bool>()) {
            let mut bytes = bytes;
            if lldp && bytes.len() > 14 {
                bytes[12..14].copy_from_slice(&ETHERTYPE);
            }
            if let Some(neighbour) = parse(&bytes) {
                prop_assert!(neighbour.tlvs.len() <= TLVS_MAX);
            }
        }
    }
}
